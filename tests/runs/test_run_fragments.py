"""The fragments that show a run, whatever it has; a model's words in them are never taken for markup."""

import pytest
from django.template.loader import render_to_string

from feedbackhub.runs import selectors
from feedbackhub.runs.models import Run, RunAttempt, RunEvent
from feedbackhub.runs.templatetags.runs import curves, duration

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(project):
    return Run.objects.create(project=project, recipe="dpo", job="x.y", spec={}, state="running", phase="training")


def shown(run, log="") -> str:
    context = {"run": run, "series": selectors.series(run), "samples": selectors.samples(run), "log": log}
    return " ".join(render_to_string("runs/_live.html", {**context, "socket": "/ws/rounds/1/"}).split())


def event(run, offset, type, **data):
    return RunEvent.objects.create(run=run, offset=offset, t=offset, type=type, data=data)


def test_a_run_that_has_just_begun(run):
    text = shown(run)
    assert 'data-socket="/ws/rounds/1/"' in text
    assert "The curves appear with the first steps." in text
    assert "attempts" not in text.replace("data-attempts", "")


def test_a_run_with_everything(run):
    run.state, run.step, run.max_steps, run.eta_seconds, run.attempts = "failed", 12, 200, 125.0, 2
    run.error_message = "The machine ran out of memory."
    RunAttempt.objects.create(run=run, number=1, outcome="crashed: was killed by signal 9", exit_code=-9)
    event(run, 1, "metric", step=1, split="train", values={"loss": 0.7, "learning_rate": 0.1})
    event(run, 2, "metric", step=1, split="validation", values={"loss": 0.8})
    event(run, 3, "warning", message="max_length cut 3 prompts")
    event(run, 4, "sample", stage="before", id=7, prompt="<b>Say</b>", text="<script>alert(1)</script>")
    text = shown(run, log="step 1 <i>")
    assert "data-socket" not in text, "it has ended: there is nothing to watch"
    assert "step 12 of 200" in text
    assert ", 2 min left" in text
    assert "The machine ran out of memory." in text
    assert "crashed: was killed by signal 9" in text
    assert "max_length cut 3 prompts" in text
    assert "not yet" in text
    event(run, 5, "sample", stage="during", step=6, id=7, prompt="<b>Say</b>", text="<i>halfway</i>")
    assert "so far, after step 6</p>&lt;i&gt;halfway&lt;/i&gt;" in shown(run)
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text
    assert "step 1 &lt;i&gt;" in text
    assert text.index('id="curve-loss"') < text.index("More curves") < text.index('id="curve-learning_rate"')


def test_curves_have_a_line_a_split_and_words_for_the_recipe():
    series = {"validation": {"accuracy": [[5, 0.5]]}, "train": {"accuracy": [[1, 0.4]], "novel_thing": [[1, 2]]}}
    accuracy, novel = curves(series, "sft")
    assert accuracy["data"]["series"] == [
        {"name": "train", "points": [[1, 0.4]]},
        {"name": "validation", "points": [[5, 0.5]]},
    ]
    assert "tokens" in accuracy["lead"]
    assert "pairs" in curves(series, "dpo")[0]["lead"]
    assert (novel["title"], novel["first"]) == ("Novel thing", False)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.4, "59 s"), (90, "2 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations_are_as_precise_as_an_estimate(seconds, words):
    assert duration(seconds) == words
