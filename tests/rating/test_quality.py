"""How well the rating goes: habits, position bias, disagreement; and asking one rater more."""

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating import quality
from feedbackhub.rating.models import Assignment, Judgment
from feedbackhub.rating.quality_report import report
from feedbackhub.rating.services import task_next

pytestmark = pytest.mark.django_db


@pytest.fixture
def shown_first(said, judged, leased):
    """shown_first(rater): the rater prefers whatever is shown first."""

    def judge(rater, **fields):
        lease = leased(rater)
        return judged(rater, *[output.model.name for output in lease.outputs], lease=lease, **fields)

    return judge


def test_a_rater_who_always_takes_the_first_is_seen(tasks, shown_first, judged, bob, carol, project):
    tasks(8, judgments_wanted=2)
    for _ in range(8):
        shown_first(bob, duration_ms=2000)
    for order in [("red", "blue")] * 3 + [(("red", "blue"),)] * 1:
        judged(carol, *order, duration_ms=500)
    judged(carol, ("red", "blue"), none_acceptable=True, duration_ms=700)
    first, second = quality.habits(project)
    assert (first.rater, first.judgments, first.streak, first.median_seconds) == (bob, 8, 8, 2.0)
    assert (first.first.part, first.first.whole) == (8, 8)
    assert first.first.excludes_half
    assert (second.rater, second.judgments, second.median_seconds) == (carol, 5, 0.5)
    assert second.first.whole == 3
    assert (second.ties.part, second.both_bad.part, second.ties.whole) == (1, 1, 5)
    assert not second.first.excludes_half
    everybody = quality.first_shown([first, second])
    assert (everybody.part, everybody.whole) == (8 + second.first.part, 11)


def test_what_was_taken_back_is_nobodys_habit(tasks, judged, bob, project):
    from feedbackhub.rating.services import judgment_undo

    tasks(1)
    judgment_undo(rater=bob, judgment=judged(bob, "red", "blue").judgment)
    assert quality.habits(project) == []


def test_the_most_evenly_split_task_comes_first(tasks, judged, leased, alice, bob, carol, project):
    split, agreed, majority = tasks(3, judgments_wanted=3)
    order = {
        split: [("red", "blue"), ("blue", "red"), (("red", "blue"),)],
        agreed: [("red", "blue")] * 3,
        majority: [("red", "blue"), ("red", "blue"), ("blue", "red")],
    }
    for task, verdicts in order.items():
        for rater, verdict in zip((alice, bob, carol), verdicts):
            lease = leased(rater)
            assert lease.task == task
            judged(rater, *verdict, lease=lease)
    first, second = quality.disagreements(project, report(project).split)
    assert (first.task, first.settled, first.waiting) == (split, False, 0)
    assert (second.task, second.settled, second.labels) == (majority, True, {"red": 2, "blue": 1})


def test_one_rater_more_is_asked_before_anything_else(tasks, judged, bob, carol, project):
    old, new = tasks(2)
    judged(bob, "red", "blue")
    quality.task_ask_again(task=old)
    lease = task_next(project=project, rater=carol)
    assert lease.task == old
    judged(carol, "blue", "red", lease=lease)
    old.refresh_from_db()
    assert old.judgments_wanted == 2
    assert Judgment.objects.in_force().filter(task=old).count() == 2
    assert not Assignment.objects.filter(task=old).exclude(state="done").exists()
    assert task_next(project=project, rater=carol).task == new


def test_there_is_an_end_to_asking(tasks, project):
    (task,) = tasks(1, judgments_wanted=50)
    with pytest.raises(DomainError, match="50 judgments already"):
        quality.task_ask_again(task=task)
    assert task.assignments.count() == 50


def test_the_page(tasks, judged, client_of, alice, bob, carol, project):
    admin = client_of(alice)
    url = f"/p/{project.slug}/rate/quality/"
    assert "Nothing has been judged yet." in admin.get(url).content.decode()
    (task,) = tasks(1, judgments_wanted=2)
    judged(bob, "red", "blue")
    judged(carol, "blue", "red")
    page = admin.get(url).content.decode()
    assert "1 × red" in page
    assert "1 × blue" in page
    assert "undefined because" not in page.split("Percent agreement")[1].split("Krippendorff")[0]
    answer = admin.post(f"{url}{task.pk}/ask-again/", follow=True).content.decode()
    assert f"Task {task.pk} now wants 3 judgments" in answer
    assert "waits for 1 more" in answer
    assert client_of(bob).get(url).status_code == 403
    assert client_of(bob).post(f"{url}{task.pk}/ask-again/").status_code == 403
