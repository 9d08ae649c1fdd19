"""The real `python -m training` behind the supervisor, on a tiny model: trained, killed, resumed; answers, metrics."""

import json
import signal
import sys
from pathlib import Path

import pytest

from feedbackhub.catalog import services as catalog
from feedbackhub.catalog.models import Output
from feedbackhub.evaluation.selectors import comparison_table
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.evaluation.suites import suite_save
from feedbackhub.runs import selectors
from feedbackhub.runs.directory import lock_holder
from feedbackhub.runs.models import Run
from feedbackhub.runs.services import run_create, run_queue, run_supervise

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytestmark = [pytest.mark.trains, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    from training_cast import tiny_model

    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def sft_run(project, tiny_base, settings, tmp_path, monkeypatch):
    """sft_run(**settings): a draft run that teaches a tiny model to say what it is told to say."""
    settings.RUNS_DIR = tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def create(**given):
        from training_cast import echo_rows

        rows = echo_rows()
        samples = [{"id": 1, "messages": rows[0]["messages"][:1]}]
        return run_create(
            project=project,
            recipe="sft",
            spec={
                "base": {"path": str(tiny_base)},
                "data": {
                    "train": "data/train.jsonl",
                    "validation": "data/validation.jsonl",
                    "samples": "data/samples.jsonl",
                },
                "settings": given,
                "seed": 0,
            },
            files={"data/train.jsonl": rows, "data/validation.jsonl": rows[:4], "data/samples.jsonl": samples},
            queue="training",
            job="stand_in_job.supervise",
        )

    return create


def assert_stored_once(run) -> None:
    path = run.directory / "events.jsonl"
    assert run.events_offset == path.stat().st_size
    assert run.events.count() == len(path.read_text().splitlines())


def test_training_is_seen_from_its_first_step_to_its_adapter(sft_run):
    run = sft_run(max_steps=30, batch_size=4)
    run_queue(run=run)
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.error_message) == ("completed", "")
    assert (run.directory / "adapter" / "adapter_model.safetensors").is_file()
    assert (run.progress, run.step, run.max_steps) == (1.0, 30, 30)
    curves = selectors.series(run)
    losses = [value for _, value in curves["train"]["loss"]]
    assert losses[-1] < losses[0]
    assert curves["validation"]["loss"]
    (sample,) = selectors.samples(run)
    assert sample["before"] is not None
    assert sample["after"] is not None
    assert "step" in selectors.log_tail(run)
    assert_stored_once(run)


def test_killed_then_stopped_it_goes_on_from_its_checkpoint_each_time(sft_run):
    run = sft_run(max_steps=240, batch_size=2, save_every=20, sample_count=0)
    run_queue(run=run)
    done = []

    def kill_then_stop(event):
        if event.type != "metric":
            return
        if event.data["step"] >= 20 and not done:
            done.append(lock_holder(run.directory).signal(signal.SIGKILL))
        elif event.data["step"] >= 60 and run.attempt_rows.count() == 2:
            Run.objects.filter(pk=run.pk, state="running").update(state="stopping")

    stopped = run_supervise(run_id=run.pk, on_event=kill_then_stop)
    assert done == [True]
    assert (stopped.state, stopped.attempts) == ("stopped", 2)
    assert "SIGKILL" in stopped.attempt_rows.get(number=1).outcome
    assert stopped.step < 240
    run_queue(run=run)
    ended = run_supervise(run_id=run.pk)
    assert (ended.state, ended.attempts, ended.step) == ("completed", 3, 240)
    resumed = [event.data["message"] for event in ended.events.filter(type="status") if event.data.get("message")]
    assert sum("resuming after step" in message for message in resumed) == 2, resumed
    assert_stored_once(ended)


def test_a_base_that_is_not_there_is_told_in_the_words_of_training(sft_run, tiny_base):
    run = sft_run(max_steps=1)
    path = run.directory / "run.json"
    spec = json.loads(path.read_text())
    spec["base"]["path"] = "/nowhere/model"
    path.write_text(json.dumps(spec))
    run_queue(run=run)
    run = run_supervise(run_id=run.pk)
    assert (run.state, run.attempts) == ("failed", 1)
    assert "/nowhere/model" in run.error_message


def test_answers_and_metrics_of_a_model(project, tiny_base, settings, tmp_path, monkeypatch, queue):
    settings.RUNS_DIR = tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    decoding = {"max_new_tokens": 4, "temperature": 1.0, "seed": 3}
    cold = catalog.model_create(
        project=project, name="cold", kind="local", base=str(tiny_base), decoding={"max_new_tokens": 4}
    )
    warm = catalog.model_create(project=project, name="warm", kind="local", base=str(tiny_base), decoding=decoding)
    for word in ("red", "green", "blue"):
        catalog.prompt_get_or_create(project=project, prompt=f"say {word}", references=[word], split="test")
    generation = catalog.generation_create(project=project, models=[warm], n=2)
    catalog.generation_create(project=project, models=[cold])
    queue()
    generation.refresh_from_db()
    assert (generation.status, generation.error) == ("done", "")
    assert Output.objects.filter(model=warm).count() == 6
    assert Output.objects.filter(model=cold).count() == 3
    output = Output.objects.filter(model=warm).first()
    assert output.latency_ms > 0
    assert output.finish_reason in ("stop", "length")
    for suite, models, metrics in [
        ("text-overlap", [warm, cold], {"rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "chrf"}),
        ("perplexity", [warm], {"perplexity"}),
    ]:
        evaluation = evaluation_create(project=project, models=models, suite=suite)
        queue()
        evaluation.refresh_from_db()
        assert (evaluation.status, evaluation.error) == ("done", "")
        table = comparison_table(evaluation)
        assert {row.name for row in table.main} == metrics
        assert all(cell.result.lower <= cell.result.value <= cell.result.upper for cell in table.rows[0].cells)
        if suite == "text-overlap":
            assert table.rows[0].cells[0].difference.verdict == "too few rows"


def test_a_suite_of_the_projects_own_is_answered_compared_and_judged(project, tiny_base, settings, tmp_path, queue):
    """Paraphrases, seeds and likeness through the real process; asked again, nothing is computed again."""
    settings.RUNS_DIR, settings.COMPUTED_DIR = tmp_path / "runs", tmp_path / "computed"
    model = catalog.model_create(project=project, name="tiny", kind="local", base=str(tiny_base))
    rules = [{"kind": "similarity", "at_least": -1}, {"kind": "consistent", "over": "seeds", "at_least": 0}]
    rules.append({"kind": "length", "max": 4, "name": "short"})
    items = [
        {"id": "x", "prompt": "say a b", "paraphrases": ["say a"], "references": ["a b"]},
        {"id": "y", "prompt": "what is good ?", "references": ["red"]},
    ]
    definition = {"rules": rules, "settings": {"seeds": 2, "max_new_tokens": 4, "temperature": 1.5}}
    suite_save(project=project, name="small", definition=definition, items=items)
    found = []
    for _time in range(2):
        evaluation = evaluation_create(project=project, models=[model], suite="small")
        queue()
        evaluation.refresh_from_db()
        assert (evaluation.status, evaluation.error) == ("done", "")
        found.append(evaluation)
    assert [one.parts.get().run.result["reuse"] for one in found] == [
        {"asked": 6, "reused": 0},
        {"asked": 6, "reused": 6},
    ]
    values = {row.metric: (row.value, row.n) for row in found[0].results.all()}
    # What is sampled depends on the items' numbers; an answer without a word is like nothing.
    said = [[answer["text"] for answer in item.answers] for item in found[0].parts.get().items.all()]
    assert values["rule:similarity"] == (100 * sum(all(texts) for texts in said) / 2, 2)
    assert values["rule:short"] == (100, 2)
    answers = found[0].parts.get().items.get(item__key="x").answers
    assert [(answer["variant"], answer["sample"]) for answer in answers] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [one["text"] for one in found[1].parts.get().items.get(item__key="x").answers] == [
        one["text"] for one in answers
    ]
