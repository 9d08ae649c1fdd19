"""What pages and API read of a run: events after one, curves, samples, the log."""

import json

import pytest

from feedbackhub.runs import selectors
from feedbackhub.runs.services import run_queue, run_supervise

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told(run_of):
    """told(events): a run to its end whose directory held these events before it began."""

    def supervise(events, **settings):
        run = run_of(steps=1, **settings)
        lines = "".join(json.dumps({"t": 1.5, **event}) + "\n" for event in events)
        (run.directory / "events.jsonl").write_text(lines)
        run_queue(run=run)
        return run_supervise(run_id=run.pk)

    return supervise


def metric(step, split="train", **values):
    return {"type": "metric", "step": step, "split": split, "values": values}


def test_events_after_one_in_order_and_no_more_than_asked_for(told):
    run = told([{"type": "warning", "message": str(n)} for n in range(5)])
    first = selectors.events_after(run, None, 2)
    assert [event.data["message"] for event in first] == ["0", "1"]
    then = selectors.events_after(run, first[-1].pk, 100)
    assert [event.data.get("message") for event in then[:3]] == ["2", "3", "4"]
    assert len(then) == run.events.count() - 2


def test_curves_are_told_apart_by_split_and_a_step_done_again_counts_once(told):
    run = told([metric(5, loss=3), metric(10, loss=9), metric(10, loss=2), metric(10, split="validation", loss=2.5)])
    assert selectors.series(run)["train"]["loss"] == [[1, 1.0], [5, 3], [10, 2]]
    assert selectors.series(run)["validation"] == {"loss": [[10, 2.5]]}


def test_a_long_curve_is_thinned_and_keeps_its_last_point(told):
    run = told([metric(step, margin=step / 2) for step in range(1, 2002)])
    points = selectors.series(run)["train"]["margin"]
    assert len(points) <= 500
    assert (points[0], points[-1]) == ([1, 0.5], [2001, 1000.5])


def test_what_postgresql_cannot_store_is_stored_without_it(told):
    run = told([{"type": "warning", "message": "nul \x00 and \ud800"}, metric(2, loss=float("nan"), margin=1e400)])
    warning, nan = selectors.events_after(run, None, 2)
    assert warning.data["message"].startswith("nul  and ")
    assert nan.data["values"] == {"loss": None, "margin": None}
    assert "margin" not in selectors.series(run)["train"]


def test_samples_stand_side_by_side(told):
    def sample(stage, pk, text):
        return {"type": "sample", "stage": stage, "id": pk, "prompt": f"prompt {pk}", "text": text}

    midway = [
        {**sample("during", pk, text), "step": step} for pk, text, step in ((1, "x", 5), (1, "y", 10), (2, "z", 5))
    ]
    run = told([sample("before", 1, "a"), sample("before", 2, "b"), *midway, sample("after", 1, "A")])
    assert selectors.samples(run) == [
        {"id": 1, "prompt": "prompt 1", "before": "a", "during": "y", "step": 10, "after": "A"},
        {"id": 2, "prompt": "prompt 2", "before": "b", "during": "z", "step": 5, "after": None},
    ]


def test_the_log_is_its_last_lines(told):
    run = told([])
    (run.directory / "log.txt").write_text("".join(f"line {n}\n" for n in range(10)))
    assert selectors.log_tail(run, 3) == "line 7\nline 8\nline 9"
    (run.directory / "log.txt").unlink()
    assert selectors.log_tail(run, 3) == ""
