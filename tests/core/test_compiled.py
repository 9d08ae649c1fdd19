"""Queries whose SQL is written once say what the querysets say that they were made of."""

import uuid

from django.db.models import UUIDField

from feedbackhub.accounts.models import User
from feedbackhub.core.compiled import Compiled, Given, insert
from feedbackhub.projects.models import Membership, Project
from feedbackhub.tracing.models import TracedRun


def test_instances_come_with_what_belongs_to_them(project, alice, bob, django_assert_num_queries):
    members = Compiled(
        lambda: Membership.objects.select_related("user", "project__created_by").filter(user=Given("user"))
    )

    for user in (alice, bob):
        with django_assert_num_queries(1):
            (found,) = members(user=user.pk)
            assert (found.user, found.project, found.project.created_by.username) == (user, project, "root")
        found.role = "stakeholder"
        found.save()
        assert Membership.objects.get(user=user).role == "stakeholder"


def test_rows_are_tuples_and_values_are_those_of_the_call(project, alice, bob):
    roles = Compiled(lambda: Membership.objects.filter(user=Given("user")).values_list("role", "project__slug"))

    assert list(roles(user=alice.pk)) == [("admin", "kitchen")]
    assert roles.first(user=bob.pk) == ("rater", "kitchen")
    assert roles.first(user=0) is None


def test_values_of_other_kinds_than_ids(project, django_assert_num_queries):
    run = TracedRun(project=project, run_uuid=uuid.uuid4(), session_name="s", start_time=project.created_at)
    insert([run])
    by_uuid = Compiled(lambda: TracedRun.objects.filter(run_uuid=Given("uuid", UUIDField())))

    found = by_uuid.first(uuid=run.run_uuid)

    assert (found.pk, found.run_uuid, found.start_time) == (run.pk, run.run_uuid, project.created_at)


def test_constants_are_what_they_were(project, alice, bob):
    """PostgreSQL gets them written out."""
    project.name = "50 % o'clock \\ “a”; %s"
    project.save()

    found = Compiled(
        lambda: (
            Membership.objects.filter(
                user=Given("user"), role__in=["rater", "admin"], project__name=project.name, project__deadline=None
            )
            .exclude(suspended_because="it's so")
            .values_list("role")
        )
    )

    assert [found.first(user=one.pk) for one in (alice, bob)] == [("admin",), ("rater",)]


def test_rows_that_are_there_already_are_left_out(project):
    ids = sorted(uuid.uuid4() for _ in range(250))
    rows = [TracedRun(project=project, run_uuid=one, session_name="s", start_time=project.created_at) for one in ids]
    insert(rows[:100])

    assert insert(rows, or_ignore=True, returning="run_uuid") == ids[100:]
    assert TracedRun.objects.count() == 250
    assert insert([], or_ignore=True) == []


def test_json_and_times_are_written_as_by_the_orm(root):
    given = {"name": "One", "criteria": [{"key": "truth", "min": 1, "max": 5}], "created_by": root}
    row = Project(slug="one", **given)
    insert([row])

    found = Project.objects.get(pk=row.pk)

    assert (found.criteria, found.created_at) == (given["criteria"], row.created_at)
    assert User.objects.get(pk=found.created_by_id) == root
