"""A judgment said again from the history page, without any script."""

import pytest

pytestmark = pytest.mark.django_db


def fields_of(page: str) -> dict:
    """The hidden fields of the judgment's form."""
    import re

    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.split('id="judgment"')[1]))


def test_the_page_has_what_was_said_and_takes_what_is_said_now(tasks, judged, client_of, bob, project, outcomes):
    tasks(1)
    said = judged(bob, "red", "blue", comment="red is *right*", strength="clear", flags=["broken"]).judgment
    mine, url = client_of(bob), f"/p/{project.slug}/rate/history/{said.pk}/edit/"
    page = mine.get(url).content.decode()
    assert "red is *right*</textarea>" in page
    assert 'value="clear" checked' in page
    assert 'value="broken" checked' in page
    form = {**fields_of(page), "verdict": "tie", "csrfmiddlewaretoken": ""}
    answer = mine.post(f"/p/{project.slug}/rate/{said.task_id}/", form, follow=True).content.decode()
    assert "Only what you say now counts." in answer
    assert outcomes() == {("red", "blue"): (0, 0, 1, 0)}
    assert mine.get(url).status_code == 404, "what was superseded can be edited"


def test_only_ones_own_that_counts_can_be_edited(tasks, judged, client_of, bob, carol, project):
    from feedbackhub.rating.services import judgment_undo

    tasks(1)
    said = judged(bob, "red", "blue").judgment
    url = f"/p/{project.slug}/rate/history/{said.pk}/edit/"
    assert client_of(carol).get(url).status_code == 404
    judgment_undo(rater=bob, judgment=said)
    assert client_of(bob).get(url).status_code == 404
