"""A reward model from votes: trained for real, measured, put to work on open pairs, and held against people."""

import sys
import uuid
from pathlib import Path

import pytest

from feedbackhub.catalog.content import text_parts
from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.catalog.services import model_get_or_create_imported, prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Task
from feedbackhub.rating.services import judgment_record, task_next, tasks_create
from feedbackhub.rounds import doubt, services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.models import RewardScoring

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def base(project, tmp_path, settings, monkeypatch):
    from training_cast import tiny_model

    settings.RUNS_DIR = tmp_path / "runs"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return ModelVersion.objects.create(
        project=project, name="tiny", kind="local", base=str(tiny_model(tmp_path / "tiny"))
    )


@pytest.fixture
def vote(project):
    def say(rater):
        lease = task_next(project=project, rater=rater)
        shown = [output.pk for output in lease.outputs]
        best = sorted(lease.outputs, key=lambda output: "good" not in output.text)
        ranking = [[output.pk] for output in best]
        payload = {"key": str(uuid.uuid4()), "ranking": ranking, "shown": shown, "duration_ms": 9}
        return judgment_record(rater=rater, task=lease.task, payload=payload).judgment

    return say


@pytest.fixture
def pairs(project):
    """Twenty pairs of a good and a bad answer, some held out."""
    models = [model_get_or_create_imported(project=project, name=name) for name in ("kind", "curt")]
    for number in range(20):
        split = "validation" if number % 5 == 0 else "train"
        prompt, _ = prompt_get_or_create(
            project=project, prompt=f"what is {number} ?", split=split, category="even" if number % 2 else "odd"
        )
        for model, text in zip(models, ("good yes", "bad no")):
            Output.objects.create(prompt=prompt, model=model, parts=text_parts(text), content_key=uuid.uuid4().hex)
    tasks_create(project=project, models=models)
    return list(Task.objects.order_by("pk"))


@pytest.mark.trains
def test_from_votes_to_open_pairs_and_back(
    project, alice, bob, carol, base, pairs, vote, queue, api_of, client_of, django_assert_max_num_queries
):
    for _ in range(14):
        vote(bob)
    dataset = dataset_freeze(project=project, by=alice, kind="preference")
    made = services.round_create(
        project=project,
        by=alice,
        recipe="reward",
        base_model=base,
        dataset=dataset,
        settings={"max_steps": 15, "learning_rate": 0.01, "batch_size": 4, "heads": 3},
    )
    services.round_launch(tuning_round=made)
    queue()
    services.sweep()
    made.refresh_from_db()
    assert made.run.state == "completed", made.run.error_message
    assert made.model.role == "reward"
    assert not made.follow_ups.exists(), "a reward model answers nothing and meets nobody"
    admin, url = client_of(alice), f"/p/{project.slug}/rounds/{made.number}/"
    page = admin.get(url).content.decode()
    assert "Agrees with held-out pairs" in page
    assert "Said and seen" in page
    assert "Where it is right" in page
    assert "“the longer wins”" in page
    held = {part["name"] for part in made.run.result["calibration"]["slices"][0]["parts"]}
    assert held == {"even", "odd"}, "a row carries its prompt's category"
    assert page.count("calibration-category") == 2, "the chart and its figures"
    assert "looks at 6 open pairs" in admin.post(f"{url}scorings/", follow=True).content.decode()
    queue()
    scoring = RewardScoring.objects.get()
    assert scoring.run.state == "completed", scoring.run.error_message
    assert len(scoring.chances) == 6
    for task, (first, chance, bits) in scoring.chances.items():
        good = "good" in Output.objects.get(pk=first).text
        assert (chance > 0.5) == good, "it prefers what raters preferred"
        assert 0 <= bits <= 1
        assert int(task) in {pair.pk for pair in pairs[14:]}
    assert len(scoring.raised) == 2, "a quarter of six, rounded up"
    assert vote(carol).task_id in scoring.raised, "the doubtful come first"
    assert doubt.agreement_with_people(scoring).part == 1
    assert "on 1 of 1" in admin.get(url).content.decode()
    # A later look puts others first, and lets go of the earlier ones.
    again = api_of(alice).post(
        f"/api/v1/projects/{project.slug}/reward-scorings/", {"model": made.model.name, "limit": 3}, format="json"
    )
    assert again.status_code == 202, again.json()
    queue()
    latest = RewardScoring.objects.order_by("-pk").first()
    assert set(Task.objects.filter(priority=doubt.PRIORITY).values_list("pk", flat=True)) == set(latest.raised)
    listed = api_of(alice).get(f"/api/v1/projects/{project.slug}/reward-scorings/").json()["results"]
    assert [one["tasks"] for one in listed] == [3, 6]
    # It tunes nothing and answers nothing.
    with pytest.raises(DomainError, match="no weights here that could be tuned"):
        services.round_create(project=project, by=alice, recipe="dpo", base_model=made.model, dataset=dataset)


def test_doubt_is_what_the_heads_disagree_about():
    assert doubt.doubt([0.5, 0.5]) == 0, "all call it even"
    assert doubt.doubt([0.9, 0.9]) == pytest.approx(0)
    assert doubt.doubt([0.0, 1.0]) == pytest.approx(1), "one bit: each is certain, of the opposite"
    assert doubt.doubt([0.2, 0.8]) > doubt.doubt([0.4, 0.6]) > 0


def test_wrong_use_is_told(project, alice, base):
    with pytest.raises(DomainError, match="no reward model"):
        doubt.scoring_create(project=project, model=base, by=alice)
    reward = ModelVersion.objects.create(project=project, name="r", kind="local", base=base.base, role="reward")
    with pytest.raises(DomainError, match="No pair waits"):
        doubt.scoring_create(project=project, model=reward, by=alice)
