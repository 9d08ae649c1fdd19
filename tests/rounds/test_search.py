"""A search for settings: which tries are made, what it picks and why; that it goes on, and reads no test row."""

import pytest
from django.core.management import CommandError, call_command

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.search import search, search_so_far
from feedbackhub.runs.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def given(project, alice, weights, stand_in, pair, judge):
    """A dataset of 20 pairs, 8 of them to validate on, and a base."""
    for number in range(20):
        one, other = pair(f"question {number}", split="validation" if number < 8 else "train")
        judge([[one], [other]])
    one, other = pair("never to be read", split="test")
    judge([[one], [other]])
    base = ModelVersion.objects.create(project=project, name="tiny", kind="local", base=str(weights))
    dataset = dataset_freeze(project=project, by=alice)
    return {"project": project, "by": alice, "recipe": "dpo", "base_model": base, "dataset": dataset}


def ends(accuracy):
    """finish: a run ends with the accuracy that the function gives for its settings; None: it fails."""

    def finish(run: Run) -> Run:
        value = accuracy(run.spec["settings"])
        run.state = "failed" if value is None else "completed"
        run.result = {"metrics": {"validation_accuracy": value}}
        run.save()
        return run

    return finish


def test_each_setting_is_tried_at_the_best_of_those_before(given):
    found = search(**given, finish=ends(lambda s: 0.9 if s["learning_rate"] == 6e-4 and s["beta"] == 0.3 else 0.1))
    assert [one.settings for one in found.tries] == [
        {"learning_rate": rate, "beta": beta, "lora_r": rank}
        for rate, beta, rank in (
            *((2e-4, 0.1, 16), (6.67e-5, 0.1, 16), (6e-4, 0.1, 16)),
            *((2e-4, 0.0333, 16), (2e-4, 0.3, 16), (2e-4, 0.1, 8), (2e-4, 0.1, 32)),
        )
    ], "no rate was better, so β and rank are tried at the first"
    found = search(**given, finish=ends(lambda s: {6e-4: 0.9}.get(s["learning_rate"], 0.3) - (s["beta"] > 0.2) * 0.2))
    assert found.pick.settings == {"learning_rate": 6e-4, "beta": 0.1, "lora_r": 16}
    assert "the best validation accuracy of 7 tries, 0.9" in found.reason


def test_what_is_not_surely_worse_and_nearest_to_the_start_is_picked(given):
    found = search(**given, finish=ends(lambda s: 0.6 + 0.01 * (s["lora_r"] == 32)))
    assert found.pick.settings == {"learning_rate": 2e-4, "beta": 0.1, "lora_r": 16}
    # Wilson (1927) at z = 1, n = 8: √(0.61 · 0.39 / 8 + 1 / 256) / (1 + 1 / 8) = 0.163
    assert "within one standard error (0.16)" in found.reason


def test_a_rate_that_diverges_is_passed_over(given):
    found = search(**given, finish=ends(lambda s: None if s["learning_rate"] > 3e-4 else 0.6))
    assert len(found.tries) == 6
    with pytest.raises(DomainError, match="None of the tries"):
        search(**{**given, "settings": {"seed": 1}}, finish=ends(lambda s: None))


def test_tries_are_run_once_on_train_and_validation_rows_only(given):
    search(**given, finish=ends(lambda s: 0.5))
    count = Run.objects.count()
    search(**given, finish=ends(lambda s: 0.5))
    assert Run.objects.count() == count == 7
    for run in Run.objects.all():
        written = "".join(path.read_text() for path in run.directory.rglob("*.jsonl"))
        assert "question 1" in written
        assert "never to be read" not in written
        assert run.spec["settings"]["lora_alpha"] == 2 * run.spec["settings"]["lora_r"]


def test_what_has_not_ended_is_waited_for_and_not_made_again(given):
    for _ in range(2):
        found = search_so_far(**given, finish=lambda run: None)
        assert (found.waits_for, found.made, found.pick) == (Run.objects.get(), [], None)


def test_where_every_weight_is_trained_no_rank_is_tried(given):
    found = search(**{**given, "settings": {"method": "full"}}, finish=ends(lambda s: 0.5))
    assert [set(one.settings) for one in found.tries] == [{"learning_rate", "beta"}] * 5


def test_without_validation_rows_there_is_nothing_to_choose_on(given):
    given["dataset"].counts["validation"] = 0
    with pytest.raises(DomainError, match="no validation row"):
        search(**given, finish=ends(lambda s: 0.5))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no project nowhere"),
        (["kitchen", "--begin", "fast"], "--begin is not JSON"),
        (["kitchen", "--recipe", "gossip"], 'recipe "gossip" is none of'),
        (["kitchen", "--base", "nobody"], "nobody"),
        (["kitchen", "--begin", '{"speed": 1}'], '"speed" is no setting of dpo'),
    ],
)
def test_the_command_says_what_is_wrong(given, arguments, says):
    slug, *options = arguments
    with pytest.raises(CommandError, match=says):
        call_command("search_settings", slug, str(given["dataset"].pk), "--base", "tiny", *options)
