"""Gold items, attention checks and tasks asked again: served unseen, scored, and kept out of every result."""

from random import Random

import pytest

from feedbackhub.core.errors import DomainError
from feedbackhub.rating import check_results, checks
from feedbackhub.rating.checks import attention_create, gold_create, gold_retire
from feedbackhub.rating.models import Assignment, Gold, Judgment, Task
from feedbackhub.rating.selectors import agreement_rows, progress, task_counts
from feedbackhub.rating.services import (
    judgment_record,
    judgment_undo,
    leases_reclaim,
    tallies_check,
    task_release,
    task_skip,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def always(project):
    """always("gold"): such a check comes before every task, while there is one."""

    def set_shares(kind):
        project.gold_percent = project.repeat_percent = 0
        setattr(project, f"{kind}_percent", 100)
        project.save()

    return set_shares


@pytest.fixture
def gold(root):
    """gold(task, "red", "blue"): red is known to be better."""

    def make(task, *order):
        of = {row.output.model.name: row.output_id for row in task.task_outputs.select_related("output__model")}
        return gold_create(by=root, task=task, expected={"ranking": [[of[name]] for name in order]})

    return make


def test_a_gold_item_is_served_as_a_task_of_ones_own_and_counts_nowhere(
    tasks, gold, always, leased, judged, bob, outcomes, project
):
    first, *_ = tasks(3)
    made = gold(first, "red", "blue")
    always("gold")
    lease = leased(bob)
    assert (lease.task.check_kind, lease.task.twin_of) == ("gold", first)
    assert lease.task.prompt == first.prompt
    recorded = judged(bob, "red", "blue", lease=lease)
    assert recorded.judgment.counted, "the rater is told that it counts, as of any other"
    assert outcomes() == {}
    assert agreement_rows(project) == []
    assert tallies_check(project=project) == []
    assert check_results.check_records(project)[bob.pk].passed == {"gold": 1}
    assert [(row.gold, row.passed, row.served) for row in check_results.gold_records(project)] == [(made, 1, 1)]


def test_each_gold_item_comes_once_a_rater_and_never_as_work(tasks, gold, always, leased, judged, bob):
    made = tasks(3)
    gold(made[0], "red", "blue")
    always("gold")
    served = [judged(bob).judgment.task for _ in range(3)]
    assert [task.twin_of or task for task in served] == made
    assert leased(bob) is None, "no check comes when no work is left"


def test_no_check_after_the_work(tasks, gold, always, leased, bob):
    (only,) = tasks(1)
    gold(only, "red", "blue")
    always("gold")
    assert leased(bob) is None


def test_whoever_had_the_task_as_work_does_not_get_it_as_gold(tasks, gold, always, leased, judged, bob, carol):
    made = tasks(3, judgments_wanted=2)
    judged(bob, "red", "blue")
    gold(made[0], "red", "blue")
    always("gold")
    assert leased(bob).task == made[1]
    assert leased(carol).task.twin_of == made[0]


def test_failing_is_noted_unless_most_fail(tasks, gold, always, judged, bob, carol, alice, root, project):
    made = tasks(8, judgments_wanted=5)
    first = gold(made[0], "red", "blue")
    always("gold")
    judged(bob, "blue", "red")
    judged(carol, "red", "blue")
    records = check_results.check_records(project)
    assert (records[bob.pk].passed["gold"], records[bob.pk].served["gold"]) == (0, 1)
    judged(alice, "blue", "red")
    assert check_results.is_doubtful(first)
    assert check_results.check_records(project) == {}, "a failure of our own check counts against nobody"
    assert judged(root).judgment.task == made[1], "a doubtful item is served no more"


def test_a_retired_gold_item_is_served_no_more(tasks, gold, always, leased, bob):
    made = tasks(2)
    gold_retire(gold=gold(made[0], "red", "blue"))
    always("gold")
    assert leased(bob).task == made[1]


def test_a_task_asked_again_is_turned_and_tells_steadiness(tasks, always, leased, judged, bob, project):
    tasks(14)
    for _ in range(11):
        judged(bob, "red", "blue")
    always("repeat")
    again = leased(bob)
    assert again.task.check_kind == "repeat"
    before = Judgment.objects.get(task=again.task.twin_of, rater=bob)
    shown = [item.output_id for item in before.items.order_by("position")]
    assert [output.pk for output in again.outputs] == shown[::-1]
    judged(bob, "blue", "red", lease=again)
    record = check_results.check_records(project)[bob.pk]
    assert (record.passed["repeat"], record.served["repeat"]) == (0, 1)
    assert leased(bob).task.twin_of != again.task.twin_of, "none comes a third time"


def test_undo_edit_skip_and_release_of_a_check(tasks, gold, always, leased, judged, said, bob, expire, project):
    made = tasks(4)
    gold(made[0], "red", "blue")
    always("gold")
    recorded = judged(bob, "blue", "red")
    judgment_undo(rater=bob, judgment=recorded.judgment)
    assert check_results.check_records(project) == {}
    lease = leased(bob)
    assert lease.task == recorded.judgment.task
    expire(lease)
    assert leases_reclaim() == 0, "a check waits for its rater"
    lease = leased(bob)
    first = judged(bob, "blue", "red", lease=lease).judgment
    judgment_record(rater=bob, task=lease.task, payload=said(lease, "red", "blue", supersedes=first.pk))
    assert check_results.check_records(project)[bob.pk].passed == {"gold": 1}
    assert tallies_check(project=project) == []
    gold(made[1], "red", "blue")
    held = leased(bob)
    assert held.task.twin_of == made[1]
    task_skip(rater=bob, task=held.task)
    assert not Assignment.objects.filter(task=held.task).exists()


def test_released_it_goes(tasks, gold, always, leased, bob, carol):
    made = tasks(2)
    gold(made[0], "red", "blue")
    always("gold")
    held = leased(bob)
    task_release(rater=bob, task=held.task)
    assert not Assignment.objects.filter(task=held.task).exists()
    assert leased(carol).task.twin_of == made[0]


def test_attention_checks_put_an_answer_beside_one_to_another_question(
    tasks, always, leased, judged, root, bob, project
):
    tasks(4)
    assert attention_create(by=root, project=project, count=2) == 2
    assert [count.tasks for count in task_counts(project)] == [4], "checks are no work"
    always("gold")
    lease = leased(bob)
    assert lease.task.check_kind == "attention"
    own = next(output for output in lease.outputs if output.prompt_id == lease.task.prompt_id)
    foreign = next(output for output in lease.outputs if output.prompt_id != lease.task.prompt_id)
    payload = {"key": "5f5b3a1e-94f4-4c41-b3a3-1b0c4cf6f3a1", "duration_ms": 10}
    payload |= {"shown": [one.pk for one in lease.outputs], "ranking": [[own.pk], [foreign.pk]]}
    judgment_record(rater=bob, task=lease.task, payload=payload)
    assert check_results.check_records(project)[bob.pk].passed == {"attention": 1}
    assert progress(project, bob).left == 4


def test_shares_are_kept(tasks, gold, judged, bob, project, monkeypatch):
    monkeypatch.setattr(checks, "_random", Random(1))
    made = tasks(60)
    for task in made[40:]:
        gold(task, "red", "blue")
    project.gold_percent = 25
    project.save()
    for _ in range(40):
        judged(bob)
    assert 5 <= Task.objects.filter(check_kind="gold").count() <= 15, "of 40 draws at a quarter"


def test_the_known_answer_must_fit(tasks, root):
    (task,) = tasks(1)
    outputs = [row.output_id for row in task.task_outputs.all()]
    for expected in ({}, {"ranking": [[outputs[0]]]}, {"thumbs": {}}, {"ranking": [outputs], "flags": []}):
        with pytest.raises(DomainError) as refused:
            gold_create(by=root, task=task, expected=expected)
        assert "expected" in refused.value.fields
    gold_create(by=root, task=task, expected={"ranking": [outputs]})
    with pytest.raises(DomainError, match="gold item already"):
        gold_create(by=root, task=task, expected={"ranking": [outputs]})
    assert Gold.objects.count() == 1


def test_what_all_say_may_become_gold(tasks, judged, bob, carol, alice, project):
    tasks(2, judgments_wanted=3)
    for rater in (bob, carol, alice):
        judged(rater, "red", "blue")
    for rater, order in ((bob, ("red", "blue")), (carol, ("blue", "red")), (alice, ("red", "blue"))):
        judged(rater, *order)
    ((task, expected, count),) = check_results.unanimous_tasks(project)
    red = task.outputs.get(model__name="red").pk
    assert (count, expected["ranking"][0]) == (3, [red])


@pytest.mark.parametrize(
    ("expected", "said", "fits"),
    [
        ([[1], [2], [3]], {1: 0, 2: 1, 3: 2}, True),
        ([[1], [2, 3]], {1: 0, 2: 2, 3: 1}, True),
        ([[1], [2], [3]], {1: 0, 2: 1, 3: 1}, True),
        ([[1], [2], [3]], {1: 0, 2: 0, 3: 1}, False),
        ([[1], [2], [3]], {2: 0, 1: 1, 3: 2}, False),
        ([[1, 2]], {1: 0, 2: 0}, True),
        ([[1, 2]], {1: 0, 2: 1}, False),
    ],
)
def test_when_an_order_fits(expected, said, fits):
    from feedbackhub.rating.models import JudgmentItem

    items = [JudgmentItem(output_id=pk, tier=tier) for pk, tier in said.items()]
    assert check_results.passes({"ranking": expected}, items, none_acceptable=False, criteria=[]) is fits


def test_scores_fit_within_a_quarter_of_the_range():
    from feedbackhub.rating.models import JudgmentItem

    criteria = [{"key": "truth", "label": "Truth", "min": 1, "max": 5}]
    expected = {"scores": {"7": {"truth": 4}}}
    for mark, fits in ((5, True), (3, True), (2, False)):
        items = [JudgmentItem(output_id=7, scores={"truth": mark})]
        assert check_results.passes(expected, items, none_acceptable=False, criteria=criteria) is fits


def test_a_rater_cannot_tell_a_check_from_work_by_its_history(tasks, gold, always, judged, bob, client_of, project):
    made = tasks(3)
    gold(made[0], "red", "blue")
    always("gold")
    check, work = judged(bob, "red", "blue").judgment, judged(bob, "red", "blue").judgment
    assert (check.is_check, work.is_check) == (True, False)
    browser, base = client_of(bob), f"/p/{project.slug}/rate/history/"
    page = browser.get(base).content.decode()
    for judgment in (check, work):
        assert f"{base}{judgment.pk}/edit/" in page
        assert browser.get(f"{base}{judgment.pk}/edit/").status_code == 200
