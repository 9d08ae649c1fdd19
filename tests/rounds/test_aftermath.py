"""What a round's last two steps say, in words: what was forgotten, and what became of the weights."""

import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.evaluation.models import Evaluation, EvaluationRun, Result
from feedbackhub.rounds.aftermath import forgetting_words, weights_words
from feedbackhub.rounds.models import Round
from feedbackhub.runs.models import Run


def spectra(before: dict | None, after: dict, changed: tuple = ()) -> Run:
    found = {"matrices": 100, "left_out": 0, "after": after, "changed": list(changed)}
    return Run(result={"spectra": {**found, "before": before} if before else found})


SOUND = {"median": 3.2, "over_trained": 1, "under_trained": 4}


def test_weights_that_kept_their_shape_are_said_to():
    moved = {"matrix": "layers.3.mlp.down_proj", "before": 3.1, "after": 3.14}
    said = weights_words(spectra(SOUND, {**SOUND, "median": 3.21}, (moved,)))
    assert "3.20 → 3.21 (2 to 6 is well trained)" in said
    assert "1 (before: 1) below 2, 4 (before: 4) above 6" in said
    assert "has not changed their shape" in said
    assert "layers.3.mlp.down_proj, 3.10 → 3.14" in said


def test_weights_that_look_over_trained_come_with_advice():
    said = weights_words(spectra(SOUND, {"median": 2.4, "over_trained": 9, "under_trained": 4}))
    assert "fewer epochs or a lower learning rate" in said
    assert "too small" in weights_words(Run(result={"spectra": None}))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ratio", "says"), [(1.0, "forgot nothing that shows"), (1.05, "forgot a little"), (1.4, "It forgot: ")]
)
def test_forgetting_is_told_by_how_much_general_text_surprises_it(project, ratio, says):
    parent = ModelVersion.objects.create(project=project, name="parent", kind="imported")
    child = ModelVersion.objects.create(project=project, name="child", kind="imported", parent=parent)
    evaluation = Evaluation.objects.create(project=project, suite="forgetting")
    tuned = Round(base_model=parent, model=child)
    assert "not beside its parent" in forgetting_words(tuned, evaluation)
    for model, value in ((child, 20 * ratio), (parent, 20.0)):
        Result.objects.create(evaluation=evaluation, model=model, metric="perplexity", value=value, n=30)
    said = forgetting_words(tuned, evaluation)
    assert says in said
    assert f"from 20.0 to {20 * ratio:.1f} (× {ratio:.2f})" in said
    Result.objects.create(
        evaluation=evaluation, model=child, metric="perplexity_ratio", value=ratio, lower=0.9, upper=1.5, n=30
    )
    assert "[0.90, 1.50]" in forgetting_words(tuned, evaluation)


@pytest.fixture
def asked(project):
    """asked(before, after, change, ratio): what is said of a child that answered so many per cent of 96 questions."""
    parent = ModelVersion.objects.create(project=project, name="parent", kind="imported")
    child = ModelVersion.objects.create(project=project, name="child", kind="imported", parent=parent)

    def say(before: float, after: float, change: dict | None, ratio: float = 1.0, adapter: bool = True) -> str:
        evaluation = Evaluation.objects.create(project=project, suite="forgetting")
        of_base = (child, "base_") if adapter else (parent, "")
        told = [(child, "", 20 * ratio, after), (*of_base, 20.0, before)]
        for model, prefix, perplexity, accuracy in told:
            for metric, value in (("perplexity", perplexity), ("accuracy", accuracy)):
                Result.objects.create(evaluation=evaluation, model=model, metric=prefix + metric, value=value, n=96)
        change = change and {"value": after - before, "n": 96, **change}
        result = {"metrics": {"accuracy_change": change} if adapter and change else {}}
        run = Run.objects.create(project=project, recipe="evaluate", spec={}, state="completed", result=result)
        differences = {} if adapter or not change else {"accuracy": change}
        EvaluationRun.objects.create(evaluation=evaluation, model=child, run=run, differences=differences)
        return forgetting_words(Round(base_model=parent, model=child), evaluation)

    return say


@pytest.mark.django_db
def test_a_perplexity_that_is_no_number_any_more_is_forgetting(project):
    parent = ModelVersion.objects.create(project=project, name="parent", kind="imported")
    child = ModelVersion.objects.create(project=project, name="child", kind="imported", parent=parent)
    evaluation = Evaluation.objects.create(project=project, suite="forgetting")
    Result.objects.create(evaluation=evaluation, model=child, metric="base_perplexity", value=20, n=24)
    said = forgetting_words(Round(base_model=parent, model=child), evaluation)
    assert said.startswith("It forgot: its perplexity on general text rose from 20.0 to infinity.")


LOST = {"lower": -20.8, "upper": -8.3, "p_value": 0.0001}
CHANCE = {"lower": -5.2, "upper": 3.1, "p_value": 0.75}


@pytest.mark.django_db
@pytest.mark.parametrize("adapter", [True, False])
def test_questions_that_it_no_longer_answers_are_forgetting(asked, adapter):
    """Also where general text surprises it no more than before; with an adapter, and beside its parent without one."""
    said = asked(62.5, 47.9, LOST, adapter=adapter)
    assert said.startswith("It forgot: its perplexity on general text went from 20.0 to 20.0 (× 1.00")
    assert "of 96 simple questions it answers 47.9 % right, before 62.5 % (-14.6 points [-20.8, -8.3])" in said
    assert "A lower learning rate" in said


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "ratio", "says"),
    [
        (CHANCE, 1.0, "It forgot nothing that shows: "),
        (CHANCE, 1.05, "It forgot a little: "),
        (CHANCE, 1.4, "It forgot: "),
        ({"lower": 1.0, "upper": 9.4, "p_value": 0.01}, 1.0, "It forgot nothing that shows: "),
        # four lost, none gained: the bootstrap leaves zero out, the sign test does not
        ({"lower": -8.3, "upper": -1.0, "p_value": 0.125}, 1.0, "It forgot nothing that shows: "),
        (None, 1.0, "It forgot nothing that shows: "),
    ],
)
def test_a_change_that_may_be_chance_is_none(asked, change, ratio, says):
    said = asked(62.5, 61.5, change, ratio)
    assert said.startswith(says)
    assert "61.5 % right, before 62.5 % (-1.0 points" in said
