"""A worker may die at any moment; whoever comes after it loses and doubles nothing."""

from datetime import timedelta

import django_rq
import pytest
from django.utils import timezone

from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.imports import services
from feedbackhub.imports.models import Import
from feedbackhub.imports.services import ATTEMPTS_AT_MOST, import_run, sweep
from feedbackhub.rating.models import Judgment

pytestmark = pytest.mark.django_db(transaction=True)
LINES = [
    {"id": n, "prompt": f"prompt {n % 7}", "model_a": "a", "model_b": "b", "winner": "tie" if n % 10 else "x"}
    for n in range(50)
]


class PowerCut(BaseException):
    """Not an Exception: nothing in the product may catch it and go on."""


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(services, "BATCH", 8)


@pytest.fixture
def dies_in_batch(monkeypatch):
    """dies_in_batch(n): the n-th batch that is stored from now on is cut off before its transaction ends."""

    def arrange(n: int, error: type[BaseException] = PowerCut):
        store, seen = services._rejections_store, []

        def cut(*arguments):
            seen.append(1)
            if len(seen) == n:
                raise error("the power is cut")
            store(*arguments)

        monkeypatch.setattr(services, "_rejections_store", cut)

    return arrange


def lease_end(report: Import) -> None:
    Import.objects.filter(pk=report.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.parametrize("batch", [1, 2, 4, 7])
def test_a_killed_import_goes_on_where_it_was(uploaded, dies_in_batch, rejections, batch):
    report = uploaded("votes", LINES)
    dies_in_batch(batch)
    with pytest.raises(PowerCut):
        import_run(report.pk)
    report.refresh_from_db()
    assert (report.status, report.read) == ("running", 8 * (batch - 1))
    assert Judgment.objects.count() == report.created.get("votes", 0)
    lease_end(report)
    ended = import_run(report.pk)
    assert (ended.status, ended.read, ended.created["votes"], ended.rejected_count) == ("done", 50, 45, 5)
    assert ended.created["prompts"] == Prompt.objects.count() == 7
    assert list(rejections(ended)) == [1, 11, 21, 31, 41]
    assert Judgment.objects.count() == 45


def test_a_second_worker_leaves_an_import_alone_while_the_first_holds_it(uploaded, monkeypatch):
    report = uploaded("votes", LINES)
    second = []

    def meanwhile(progress):
        second.append(import_run(progress.pk))

    ended = import_run(report.pk, meanwhile)
    assert set(second) == {None}
    assert (ended.status, Judgment.objects.count()) == ("done", 45)


def test_a_worker_whose_lease_was_taken_over_writes_nothing_more(uploaded):
    report = uploaded("votes", LINES)
    taken = []

    def overtake(progress):
        if not taken:
            taken.append(True)
            lease_end(report)
            taken.append(import_run(report.pk))

    assert import_run(report.pk, overtake) is None
    assert taken[1].status == "done"
    report.refresh_from_db()
    assert (report.status, report.read, report.created["votes"]) == ("done", 50, 45)
    assert Judgment.objects.count() == 45


def test_an_ended_import_is_not_read_again(imported):
    report = imported("prompts", [{"prompt": "One"}])
    again = import_run(report.pk)
    assert (again.pk, again.read, again.attempts) == (report.pk, 1, 0)


def test_upload_queue_worker(uploaded, queue):
    report = uploaded("outputs", [{"prompt": "Why?", "outputs": [{"model": "a", "text": "x"}]}])
    assert report.status == "pending"
    queue()
    report.refresh_from_db()
    assert (report.status, Output.objects.count()) == ("done", 1)


def test_the_sweeper_queues_what_the_queue_has_lost(uploaded, queue):
    waiting = uploaded("prompts", [{"prompt": "One"}])
    django_rq.get_connection("default").flushall()
    queue()
    waiting.refresh_from_db()
    assert waiting.status == "pending"
    sweep()
    queue()
    waiting.refresh_from_db()
    assert waiting.status == "done"


def test_the_sweeper_queues_what_a_dead_worker_held(uploaded, queue, dies_in_batch):
    report = uploaded("votes", LINES)
    django_rq.get_connection("default").flushall()
    dies_in_batch(3)
    with pytest.raises(PowerCut):
        import_run(report.pk)
    sweep()
    queue()
    report.refresh_from_db()
    assert (report.status, report.read, Judgment.objects.count()) == ("done", 50, 45)


def test_the_sweeper_leaves_alone_what_waits_or_is_being_read(uploaded, queue):
    uploaded("prompts", [{"prompt": "One"}])
    held = uploaded("prompts", [{"prompt": "Two"}])
    waiting = django_rq.get_queue("default").count
    Import.objects.filter(pk=held.pk).update(
        status="running", lease_expires_at=timezone.now() + timedelta(minutes=1), attempts=1
    )
    sweep()
    sweep()
    assert django_rq.get_queue("default").count == waiting == 2


def test_an_import_that_never_gets_further_is_given_up_in_words(uploaded, monkeypatch):
    report = uploaded("prompts", [{"prompt": "One"}])

    def broken(*arguments):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(services, "_rejections_store", broken)
    for _ in range(ATTEMPTS_AT_MOST):
        with pytest.raises(RuntimeError):
            import_run(report.pk)
    ended = import_run(report.pk)
    assert ended.status == "failed"
    assert "5 attempts" in ended.error
    assert "the disk is full" in ended.error


def test_getting_further_makes_attempts_count_from_0_again(uploaded, dies_in_batch):
    report = uploaded("votes", LINES)
    for _ in range(6):  # 7 batches: each attempt stores one and dies in the next
        dies_in_batch(2)
        with pytest.raises(PowerCut):
            import_run(report.pk)
    assert import_run(report.pk).status == "done"
    assert Judgment.objects.count() == 45


def test_a_file_that_is_gone_fails_in_words(uploaded):
    report = uploaded("prompts", [{"prompt": "One"}])
    report.path.unlink()
    ended = import_run(report.pk)
    assert ended.status == "failed"
    assert "upload it again" in ended.error
