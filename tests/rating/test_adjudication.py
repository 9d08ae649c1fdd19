"""An admin settles what raters disagree on: a judgment of its own, no vote, undoable; and the queue, by page."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating.adjudication import dispute, settlement_undo, settlements, task_settle, verdict_of
from feedbackhub.rating.models import Judgment
from feedbackhub.rating.services import tallies_check

pytestmark = pytest.mark.django_db


@pytest.fixture
def disputed(tasks, judged, bob, carol):
    """disputed(2): so many tasks, bob for red and carol for blue in each."""

    def make(number=1, *names, **wish):
        found = tasks(number, *names, judgments_wanted=2, **wish)
        for _ in found:
            judged(bob, "red", "blue", comment="Red is *right*.", flags=["unsafe"])
            judged(carol, "blue", "red", strength="clear")
        return found

    return make


def output_of(task, name):
    return task.outputs.get(model__name=name).pk


def test_a_settlement_is_kept_apart_from_the_votes(disputed, outcomes, alice, project):
    (task,) = disputed()
    before = outcomes()
    verdict = f"{output_of(task, 'blue')}>{output_of(task, 'red')}"
    settled = task_settle(task=task, by=alice, verdict=verdict, comment="Blue names its source.")
    assert (settled.source, settled.counted, settled.rater) == ("adjudication", False, alice)
    assert {item.model.name: item.tier for item in settled.items.all()} == {"blue": 0, "red": 1}
    assert outcomes() == before
    assert tallies_check(project=project) == []
    assert not Judgment.objects.in_force().filter(rater=alice).exists()
    assert settlements(project).get() == settled


def test_settling_anew_supersedes_and_an_undo_withdraws(disputed, alice, bob, project):
    (task,) = disputed()
    first = task_settle(task=task, by=alice, verdict="tie")
    second = task_settle(task=task, by=alice, verdict="none")
    assert second.supersedes == first
    assert settlements(project).get() == second
    with pytest.raises(DomainError, match="settled anew"):
        settlement_undo(settlement=first, by=alice)
    withdrawal = settlement_undo(settlement=second, by=alice)
    assert settlement_undo(settlement=second, by=alice) == withdrawal
    assert not settlements(project).exists()
    assert Judgment.objects.filter(source="adjudication").count() == 3
    with pytest.raises(DomainError, match="no such settlement"):
        settlement_undo(settlement=Judgment.objects.filter(rater=bob).first(), by=alice)


def test_a_task_that_is_opened_again_is_not_settled_any_more(disputed, alice, project):
    from feedbackhub.rating.interventions import task_reopen

    (task,) = disputed()
    task_settle(task=task, by=alice, verdict="tie")
    task_reopen(by=alice, task=task, reason="The prompt was wrong.")
    assert not settlements(project).exists()


@pytest.mark.parametrize("verdict", ["", "1", "both", "1>2>3", "99999>99998"])
def test_what_does_not_fit_the_task_is_refused(disputed, alice, verdict):
    (task,) = disputed()
    with pytest.raises(DomainError) as refusal:
        task_settle(task=task, by=alice, verdict=verdict)
    assert "verdict" in refusal.value.fields
    assert not Judgment.objects.filter(source="adjudication").exists()


def test_thumbs_and_rankings_are_settled_too(tasks, leased, said, alice, bob, carol, project):
    from feedbackhub.rating.services import judgment_record

    (thumbs,) = tasks(1, "red", kind="thumbs", judgments_wanted=2)
    for rater, thumb in ((bob, 1), (carol, -1)):
        lease = leased(rater)
        payload = {**said(lease), "thumbs": {str(lease.outputs[0].pk): thumb}}
        judgment_record(rater=rater, task=lease.task, payload=payload)
    assert [verdict.text for verdict, _ in dispute(thumbs).verdicts] == ["1", "-1"]
    assert verdict_of(task_settle(task=thumbs, by=alice, verdict="-1")).thumbs == -1
    ranking = [task for task in tasks(1, "red", "blue", "green", kind="ranking") if task.kind == "ranking"][0]
    red, blue, green = (output_of(ranking, name) for name in ("red", "blue", "green"))
    settled = task_settle(task=ranking, by=alice, verdict=f"{green}>{blue}={red}")
    assert verdict_of(settled).tiers == {green: 0, blue: 1, red: 1}
    assert verdict_of(settled).text == f"{green}>" + "=".join(map(str, sorted((blue, red))))


def test_the_queue_shows_who_said_what_and_goes_on(disputed, client_of, alice, bob, project):
    first, second = disputed(2)
    admin, url = client_of(alice), f"/p/{project.slug}/rate/quality/adjudicate/"
    page = admin.get(url).content.decode()
    assert "2 tasks to settle" in page
    assert f'data-task="{first.pk}"' in page
    assert "Red is *right*." in page
    assert "Unsafe" in page
    assert "clearly" in page
    letter = "A" if dispute(first).outputs[0].model.name == "blue" else "B"
    assert f"{letter} better, clearly" in page
    assert f'data-task="{second.pk}"' in admin.get(f"{url}?after={first.pk}").content.decode()
    settled = admin.post(
        f"{url}{first.pk}/", {"verdict": "tie", "comment": "Both say it."}, follow=True
    ).content.decode()
    assert f'data-task="{second.pk}"' in settled
    assert "1 task to settle" in settled
    assert "Both say it." in settled
    again = admin.post(f"{url.replace('adjudicate', 'settlements')}{settlements(project).get().pk}/undo/", follow=True)
    assert f'data-task="{first.pk}"' in again.content.decode()
    assert "no verdict" in admin.post(f"{url}{first.pk}/", {"verdict": "?"}, follow=True).content.decode()
    for task in (first, second):
        admin.post(f"{url}{task.pk}/", {"verdict": "none"})
    assert "Nothing is left to settle." in admin.get(url).content.decode()
    assert client_of(bob).get(url).status_code == 403
    assert client_of(bob).post(f"{url}{first.pk}/", {"verdict": "tie"}).status_code == 403


def test_what_came_to_agree_since_is_passed(disputed, client_of, alice, carol, said, project):
    from feedbackhub.rating.models import Serving
    from feedbackhub.rating.services import judgment_record

    (task,) = disputed()
    admin, url = client_of(alice), f"/p/{project.slug}/rate/quality/adjudicate/"
    assert f'data-task="{task.pk}"' in admin.get(url).content.decode()
    before = Judgment.objects.get(rater=carol)
    shown = Serving.objects.get(rater=carol, task=task).shown
    order = [[output_of(task, "red")], [output_of(task, "blue")]]
    payload = {"key": "6f1c2f9e-1111-4222-8333-944444444444", "ranking": order, "shown": shown, "duration_ms": 5}
    judgment_record(rater=carol, task=task, payload={**payload, "supersedes": before.pk})
    assert "Nothing is left to settle." in admin.get(url).content.decode()


def test_an_admins_settlements_are_not_in_the_history_of_what_they_rated(disputed, alice, project):
    from feedbackhub.rating.selectors import history

    (task,) = disputed()
    task_settle(task=task, by=alice, verdict="tie")
    assert not history(project, alice).exists()
