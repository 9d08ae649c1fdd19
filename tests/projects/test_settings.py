"""What an admin changes of a project, and who belongs to it."""

import pytest

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Membership
from feedbackhub.projects.services import member_remove, project_change

pytestmark = pytest.mark.django_db


def test_new_guidelines_are_a_new_version(project):
    before = project.guidelines_version
    assert project_change(project=project, guidelines=project.guidelines).guidelines_version == before
    changed = project_change(project=project, guidelines="Prefer the *shorter* of two good answers.")
    assert changed.guidelines_version == before + 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("judgments_per_task", 0), ("order", "sideways"), ("explore_percent", 101), ("name", ""), ("slug", "other")],
)
def test_a_wrong_value_changes_nothing(project, field, value):
    with pytest.raises(DomainError) as refusal:
        project_change(project=project, guidelines="new", **{field: value})
    assert field in refusal.value.fields
    before = project.guidelines
    project.refresh_from_db()
    assert project.guidelines == before


def test_the_last_admin_stays(project, alice, bob):
    (admin,) = Membership.objects.filter(project=project, user=alice)
    others = Membership.objects.filter(project=project, role="admin").exclude(pk=admin.pk)
    for membership in others:
        member_remove(project=project, membership=membership)
    with pytest.raises(DomainError, match="last admin"):
        member_remove(project=project, membership=admin)
    assert Membership.objects.filter(pk=admin.pk).exists()


def test_the_page(project, alice, bob, client_of):
    admin, url = client_of(alice), f"/p/{project.slug}/settings/"
    form = {"name": "Kitchen two", "guidelines": "Be kind.", "judgments_per_task": 2, "order": "active"}
    form |= {"gold_percent": 5, "repeat_percent": 0}
    page = admin.post(url, {**form, "explore_percent": 20}, follow=True).content.decode()
    assert "Saved." in page
    project.refresh_from_db()
    assert (project.name, project.order, project.explore_percent) == ("Kitchen two", "active", 20)
    refused = admin.post(url, {**form, "explore_percent": 200}).content.decode()
    assert "less than or equal to 100" in refused
    project.refresh_from_db()
    assert project.explore_percent == 20
    assert client_of(bob).get(url).status_code == 403


def test_members_come_and_go_on_the_page(project, alice, bob, client_of):
    admin, url = client_of(alice), f"/p/{project.slug}/settings/"
    new = {"username": "frida", "role": "rater", "password": "a-long-pass-phrase-1"}
    assert "frida is rater now." in admin.post(f"{url}members/", new, follow=True).content.decode()
    assert User.objects.get(username="frida").check_password("a-long-pass-phrase-1")
    weak = admin.post(f"{url}members/", {"username": "gert", "role": "rater", "password": "123"}).content.decode()
    assert "too short" in weak
    assert not User.objects.filter(username="gert").exists()
    membership = Membership.objects.get(project=project, user__username="frida")
    assert "frida is rater no more" in admin.post(f"{url}members/{membership.pk}/remove/", follow=True).content.decode()
    assert not Membership.objects.filter(project=project, user__username="frida").exists()
    assert User.objects.filter(username="frida").exists()
    assert client_of(bob).post(f"{url}members/", new).status_code == 403
