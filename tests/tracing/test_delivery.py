"""Deliveries reach LangSmith through its real client: once each, in order, and never silently lost."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from feedbackhub.tracing import jobs, services
from feedbackhub.tracing.models import Delivery, TracedRun

pytestmark = pytest.mark.django_db


def judge(project, runs, subject="judgment:1", **options):
    services.feedback_enqueue(
        project=project, judgment_key="one", subject=subject, kind="pairwise", runs=runs, **options
    )


def make_due():
    Delivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_runs_then_feedbacks_arrive_with_session_and_start(project, langsmith, traced_run):
    winner, loser = traced_run(tier=0), traced_run(tier=1)
    judge(project, [winner, loser])
    jobs.deliver()
    assert states() == ["delivered"] * 4
    assert set(langsmith.runs) == {str(winner.run_uuid), str(loser.run_uuid)}
    assert langsmith.runs[str(winner.run_uuid)]["outputs"] == {"text": "Hello!"}
    by_run = {feedback["run_id"]: feedback for feedback in langsmith.feedback.values()}
    assert by_run[str(winner.run_uuid)]["score"] == 1
    assert by_run[str(loser.run_uuid)]["score"] == 0
    assert by_run[str(winner.run_uuid)]["session_id"] == langsmith.session_id
    assert by_run[str(winner.run_uuid)]["start_time"]
    assert str(TracedRun.objects.first().session_id) == langsmith.session_id


def test_an_output_judged_twice_is_one_run(project, langsmith, traced_run):
    runs = [traced_run(tier=0), traced_run(tier=1)]
    judge(project, runs)
    services.feedback_enqueue(project=project, judgment_key="two", subject="judgment:2", kind="pairwise", runs=runs)
    jobs.deliver()
    assert [path for method, path, _ in langsmith.requests].count("/runs") == 2
    assert len(langsmith.feedback) == 4


def test_runs_are_written_in_one_order_whoever_saw_them_in_which(project, traced_run):
    """Two raters of one task, to whom it was shown in different orders, must not wait for each other in a circle."""
    runs = sorted((traced_run(tier=tier) for tier in range(6)), key=lambda run: run.run_uuid)
    judge(project, runs[::-1])
    written = Delivery.objects.filter(operation="run_create").order_by("id").values_list("target_id", flat=True)
    assert list(written) == [run.run_uuid for run in runs]
    assert TracedRun.objects.count() == 6


def test_queueing_the_same_judgment_twice_sends_it_once(project, langsmith, traced_run):
    runs = [traced_run(tier=0), traced_run(tier=1)]
    judge(project, runs)
    judge(project, runs)
    assert Delivery.objects.count() == 4


def test_an_edit_changes_the_same_feedback(project, langsmith, traced_run):
    first, second = traced_run(tier=0), traced_run(tier=1)
    judge(project, [first, second])
    flipped = [replace(first, tier=1), replace(second, tier=0)]
    judge(project, flipped, subject="judgment:2", edits=True)
    jobs.deliver()
    assert len(langsmith.feedback) == 2
    by_run = {feedback["run_id"]: feedback["score"] for feedback in langsmith.feedback.values()}
    assert by_run == {str(first.run_uuid): 0, str(second.run_uuid): 1}


def test_an_undo_says_withdrawn(project, langsmith, traced_run):
    runs = [traced_run(tier=0), traced_run(tier=1)]
    judge(project, runs)
    services.feedback_withdraw(project=project, judgment_key="one", subject="judgment:2", kind="pairwise", runs=runs)
    jobs.deliver()
    assert {feedback["value"] for feedback in langsmith.feedback.values()} == {"withdrawn"}


def test_a_server_error_is_tried_again_and_the_feedback_waits_for_its_run(project, langsmith, traced_run):
    langsmith.refuse["POST /runs"] = [500]
    judge(project, sorted([traced_run(tier=0), traced_run(tier=1)], key=lambda run: run.run_uuid))
    jobs.deliver()
    assert states() == ["pending", "delivered", "pending", "delivered"]
    assert "500" in Delivery.objects.order_by("id").first().last_error
    make_due()
    jobs.deliver()
    assert states() == ["delivered"] * 4


def test_a_conflict_counts_as_delivered(project, langsmith, traced_run):
    langsmith.refuse["POST /feedback"] = [409, 409]
    judge(project, [traced_run(tier=0), traced_run(tier=1)])
    jobs.deliver()
    assert states() == ["delivered"] * 4


def test_what_is_refused_for_its_content_is_given_up_with_the_reason_and_can_be_retried(project, langsmith, traced_run):
    langsmith.refuse["POST /feedback"] = [422, 422]
    judge(project, [traced_run(tier=0), traced_run(tier=1)])
    jobs.deliver()
    assert states() == ["delivered", "delivered", "failed", "failed"]
    assert "422" in Delivery.objects.order_by("id").last().last_error
    assert services.deliveries_retry(project=project) == 2
    jobs.deliver()
    assert states() == ["delivered"] * 4


def test_a_server_that_is_away_loses_nothing(project, langsmith, traced_run, settings):
    here = settings.LANGSMITH_ENDPOINT
    settings.LANGSMITH_ENDPOINT = "http://127.0.0.1:9"
    judge(project, [traced_run(tier=0), traced_run(tier=1)])
    jobs.deliver()
    assert set(states()) == {"pending"}
    settings.LANGSMITH_ENDPOINT = here
    make_due()
    jobs.deliver()
    assert states() == ["delivered"] * 4


def test_without_a_key_nothing_leaves_and_a_key_sends_what_waited(project, langsmith, traced_run, settings):
    settings.LANGSMITH_API_KEY = ""
    judge(project, [traced_run(tier=0), traced_run(tier=1)])
    jobs.deliver()
    assert langsmith.requests == []
    settings.LANGSMITH_API_KEY = "lsv2_test"
    jobs.deliver()
    assert states() == ["delivered"] * 4


@pytest.mark.django_db(transaction=True)
def test_the_sweeper_queues_what_the_queue_has_lost(project, langsmith, traced_run, queue):
    judge(project, [traced_run(tier=0), traced_run(tier=1)])
    import django_rq

    django_rq.get_connection("default").flushall()
    services.sweep()
    queue()
    assert states() == ["delivered"] * 4


@pytest.mark.django_db(transaction=True)
def test_a_vote_that_is_rolled_back_leaves_nothing_to_send(project, langsmith, traced_run):
    def vote_that_fails():
        with transaction.atomic():
            judge(project, [traced_run(tier=0), traced_run(tier=1)])
            raise RuntimeError("the vote failed")

    with pytest.raises(RuntimeError, match="the vote failed"):
        vote_that_fails()
    assert not Delivery.objects.exists()
    assert not TracedRun.objects.exists()
