"""Model versions are measured on the same prompts; results are kept with their interval and count."""

import json

import pytest

from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.catalog.services import model_create, prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.evaluation.models import Evaluation
from feedbackhub.evaluation.services import (
    evaluation_create,
    evaluation_resume,
    evaluation_stop,
    evaluation_store,
    sweep,
)
from feedbackhub.runs.services import run_supervise

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def parent(project, weights):
    return model_create(project=project, name="tiny", kind="local", base=str(weights))


@pytest.fixture
def tuned(project, parent):
    """A child with an adapter, as a round makes one."""
    return ModelVersion.objects.create(
        project=project, name="tiny+dpo-r1", kind="local", base=parent.base, adapter="/nowhere/adapter", parent=parent
    )


@pytest.fixture
def prompts(project):
    wanted = [("salt", "train", ["sodium"]), ("dill", "test", ["a herb", " "]), ("fat", "validation", [])]
    return [
        prompt_get_or_create(project=project, prompt=text, split=split, references=references)[0]
        for text, split, references in wanted
    ]


@pytest.fixture
def answer(prompts):
    def store(model, *texts):
        for prompt, text in zip(prompts, texts):
            if text:
                Output.objects.create(
                    prompt=prompt, model=model, parts=[{"type": "text", "text": text}], content_key=text
                )

    return store


@pytest.fixture
def measure(project, stand_in, queue):
    def create(models, suite="text-overlap", **wish) -> Evaluation:
        evaluation = evaluation_create(project=project, models=models, suite=suite, **wish)
        queue()
        evaluation.refresh_from_db()
        return evaluation

    return create


def rows(evaluation, model, name) -> list[dict]:
    directory = evaluation.parts.get(model=model).run.directory
    return [json.loads(line) for line in (directory / "data" / name).open()]


def test_the_latest_answer_to_each_prompt_is_compared_with_its_references(measure, parent, answer, prompts):
    answer(parent, "old", "older", "no reference")
    answer(parent, "newest")
    evaluation = measure([parent])
    assert (evaluation.status, evaluation.error) == ("done", "")
    assert rows(evaluation, parent, "predictions.jsonl") == [
        {"id": prompts[0].pk, "text": "newest", "references": ["sodium"]},
        {"id": prompts[1].pk, "text": "older", "references": ["a herb"]},
    ]
    result = evaluation.results.get()
    assert (result.metric, result.value, result.lower, result.upper, result.n) == ("characters", 5.5, 4.5, 6.5, 2)


def test_models_are_measured_on_the_same_prompts_and_the_tuned_one_on_held_out_ones(
    measure, parent, tuned, answer, prompts
):
    answer(parent, "one", "two", "three")
    answer(tuned, "uno", "due", "tre")
    evaluation = measure([tuned, parent])
    assert evaluation.prompts == [prompts[1].pk], "it may have learned the references of its train split"
    assert [row["text"] for row in rows(evaluation, tuned, "predictions.jsonl")] == ["due"]
    assert [row["text"] for row in rows(evaluation, tuned, "baseline.jsonl")] == ["two"]
    assert "baseline" not in evaluation.parts.get(model=parent).run.spec["data"]


def test_prompts_without_an_answer_by_every_model_are_left_out(measure, project, parent, answer, prompts):
    other = model_create(project=project, name="other", kind="imported")
    answer(parent, "one", "two")
    answer(other, None, "deux")
    assert measure([parent, other], prompts=prompts).prompts == [prompts[1].pk]


def test_perplexity_gets_the_references_and_the_model(measure, parent, prompts):
    evaluation = measure([parent], suite="perplexity")
    assert evaluation.status == "done"
    run = evaluation.parts.get().run
    assert (run.queue, run.spec["base"], run.spec["settings"]) == (
        "training",
        {"path": parent.base},
        {"suite": "perplexity"},
    )
    assert rows(evaluation, parent, "references.jsonl")[0] == {
        "id": prompts[0].pk,
        "messages": [{"role": "user", "content": "salt"}],
        "references": ["sodium"],
    }


def test_perplexity_is_measured_behind_the_system_prompt(measure, project, parent, prompts):
    terse = model_create(
        project=project, name="terse", kind="local", base=parent.base, decoding={"system": "Be brief."}
    )
    row = rows(measure([terse], suite="perplexity"), terse, "references.jsonl")[0]
    assert row["messages"][0] == {"role": "system", "content": "Be brief."}


def test_forgetting_needs_no_prompt(measure, parent):
    evaluation = measure([parent], suite="forgetting")
    assert (evaluation.status, evaluation.prompts, evaluation.results.count()) == ("done", [], 1)


def test_questions_answered_before_and_after_are_compared_one_by_one(measure, project, parent, weights):
    """A model without an adapter is measured beside its parent: 30 questions, of which it lost 9 and gained 1."""
    whole = ModelVersion.objects.create(
        project=project, name="tiny+sft-r1", kind="local", base=parent.base, parent=parent
    )
    evaluation = measure([whole, parent], suite="forgetting")
    answered = {whole: [0] * 9 + [100] * 21, parent: [100] * 29 + [0]}
    for part in evaluation.parts.all():
        lines = [{"id": 0, "perplexity": 20.0}]
        lines += [{"id": f"q-{n}", "accuracy": float(value)} for n, value in enumerate(answered[part.model])]
        (part.run.directory / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        evaluation_store(run=part.run)
    found = evaluation.parts.get(model=whole).differences["accuracy"]
    assert (found["value"], found["n"]) == (pytest.approx(-100 * 8 / 30), 30)
    assert found["upper"] < 0
    assert found["p_value"] == pytest.approx(2 * 11 / 2**10)
    assert evaluation.parts.get(model=parent).differences == {}


def test_a_failure_is_told_in_words_and_can_be_tried_again(measure, parent, answer, queue):
    answer(parent, "one", "[fail]")
    evaluation = measure([parent])
    assert evaluation.status == "failed"
    assert evaluation.error == "tiny: The model does not fit into memory."
    run = evaluation.parts.get().run
    data = run.directory / "data" / "predictions.jsonl"
    data.write_text(data.read_text().replace("[fail]", "fine"))
    evaluation_resume(evaluation=evaluation)
    queue()
    evaluation.refresh_from_db()
    assert (evaluation.status, evaluation.error) == ("done", "")


def test_results_lost_between_the_end_and_the_storing_are_made_good(project, stand_in, queue, parent, answer):
    answer(parent, "one", "two")
    evaluation = evaluation_create(project=project, models=[parent], suite="text-overlap")
    run = run_supervise(run_id=evaluation.parts.get().run_id)
    sweep()
    evaluation_store(run=run)
    evaluation.refresh_from_db()
    assert (evaluation.status, evaluation.results.count()) == ("done", 1)


def test_a_waiting_evaluation_can_be_stopped(project, stand_in, queue, parent):
    evaluation = evaluation_create(project=project, models=[parent], suite="forgetting")
    evaluation_stop(evaluation=evaluation)
    queue()
    evaluation.refresh_from_db()
    assert (evaluation.status, evaluation.error) == ("failed", "tiny: was stopped")


def test_what_cannot_be_measured_is_refused_in_words(project, parent, tuned, prompts, answer):
    imported = model_create(project=project, name="gpt", kind="imported")
    answer(parent, "one")
    for wish, words in [
        ({"models": [parent], "suite": "vibes"}, 'suite "vibes" is none of text-overlap, perplexity, forgetting'),
        ({"models": [], "suite": "forgetting"}, "Choose 1 to 20"),
        ({"models": [imported], "suite": "perplexity"}, "no weights here"),
        ({"models": [imported], "suite": "text-overlap"}, 'model "gpt" has answered none'),
        ({"models": [parent, tuned], "suite": "text-overlap"}, 'model "tiny" has answered none'),
        ({"models": [parent], "suite": "text-overlap", "prompts": prompts[2:]}, "No prompt has a reference"),
    ]:
        with pytest.raises(DomainError, match=words):
            evaluation_create(project=project, **wish)
    assert not Evaluation.objects.exists()


def test_rewards_need_a_reward_model_and_answers_but_no_reference(
    project, parent, tuned, prompts, answer, queue, stand_in
):
    answer(parent, "x", "y", "z")
    answer(tuned, "xx", "yy", "zz")
    with pytest.raises(DomainError, match="The project has no reward model"):
        evaluation_create(project=project, models=[parent], suite="reward")
    judge = ModelVersion.objects.create(
        project=project, name="judge", kind="local", base=parent.base, adapter="/nowhere/judge", role="reward"
    )
    with pytest.raises(DomainError, match="is no reward model of this project"):
        evaluation_create(project=project, models=[parent], suite="reward", reward_model=parent)
    evaluation = evaluation_create(project=project, models=[tuned, parent], suite="reward")
    assert evaluation.reward_model == judge
    first, second = evaluation.parts.order_by("pk")
    assert first.run.spec["reward"] == {"path": parent.base, "adapter": "/nowhere/judge"}
    assert "base" not in first.run.spec
    rows = [json.loads(line) for line in (first.run.directory / "data/predictions.jsonl").open()]
    assert [(row["prompt"][-1]["content"], row["completion"]) for row in rows] == [("dill", "yy"), ("fat", "zz")]
    assert "baseline" in first.run.spec["data"]
    assert "baseline" not in second.run.spec["data"]


def test_short_answers_are_matched_without_a_model(project, parent, prompts, answer, stand_in, queue):
    answer(parent, "Sodium", "a herb")
    evaluation = evaluation_create(project=project, models=[parent], suite="answer-match")
    run = evaluation.parts.get().run
    assert (run.queue, run.spec["settings"]["suite"], "base" in run.spec) == ("default", "answer-match", False)
