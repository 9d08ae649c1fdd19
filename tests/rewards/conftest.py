import uuid

import pytest
from rating_cast import answers, chromium, leased, page_of, tasks  # noqa: F401

from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.catalog.services import model_create, prompt_get_or_create
from feedbackhub.rating.services import judgment_record
from feedbackhub.rewards.models import OutputScore


@pytest.fixture
def reward_model(project, weights):
    """Likes long answers, where a stand-in scores for it."""
    return ModelVersion.objects.create(project=project, name="judge", kind="local", role="reward", base=str(weights))


@pytest.fixture
def writer(project, weights, stand_in, queue):
    """A model that stand-ins answer for: the n-th answer to a prompt ends in its number; and three prompts."""
    for text in ("salt", "pepper", "dill"):
        prompt_get_or_create(project=project, prompt=text, split="test")
    return model_create(project=project, name="tiny", kind="local", base=str(weights))


@pytest.fixture
def scored(reward_model):
    """scored({"red": 1.0, "blue": 0.0}): every output by these models has that reward (two heads, the same)."""

    def keep(rewards: dict[str, float]) -> None:
        for output in Output.objects.filter(model__name__in=rewards):
            value = rewards[output.model.name]
            OutputScore.objects.create(reward_model=reward_model, output=output, reward=value, heads=[value, value])

    return keep


@pytest.fixture
def prefer(leased):  # noqa: F811
    """prefer(bob, "red"): bob's next task, judged for that model; None is a tie."""

    def judge(rater, name):
        lease = leased(rater)
        shown = [output.pk for output in lease.outputs]
        ordered = sorted(lease.outputs, key=lambda output: output.model.name != name)
        ranking = [[output.pk] for output in ordered] if name else [shown]
        payload = {"key": str(uuid.uuid4()), "ranking": ranking, "shown": shown, "duration_ms": 900}
        return judgment_record(rater=rater, task=lease.task, payload=payload).judgment

    return judge
