"""What a round's last two steps say, in words: what was forgotten, and what became of the weights."""

import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.evaluation.models import Evaluation, Result
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
