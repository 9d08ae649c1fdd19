"""Best of n: answers written, scored, ranked, kept as outputs of models of their own; page, API and command alike."""

import json

import pytest
from django.core.management import CommandError, call_command

from feedbackhub.catalog.models import Output
from feedbackhub.catalog.services import prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Task
from feedbackhub.rewards import best_of, selectors, services
from feedbackhub.rewards.models import BestOf, OutputScore
from feedbackhub.stats.best_of import divergence_bound

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def done(queue):
    """done(best_of): worked off by queue and sweeper."""

    def work(found: BestOf) -> BestOf:
        queue()
        services.sweep()
        queue()
        found.refresh_from_db()
        return found

    return work


def test_the_best_and_the_worst_are_kept_and_meet(project, alice, writer, reward_model, done):
    found = done(services.best_of_create(project=project, model=writer, reward_model=reward_model, n=3, pairs=True))
    assert (found.status, found.message) == ("done", "")
    ranked = best_of.rankings(found)
    assert [len(scores) for scores in ranked] == [3, 3, 3]
    for scores in ranked:
        rewards = [score.reward for score in scores]
        assert rewards == sorted(rewards, reverse=True)
    assert found.best.name == "tiny best of 3 by judge"
    assert found.best.parent == writer
    assert all(scores[0].output.text.endswith(" 2") for scores in ranked), "the last is the one it likes"
    best = {output.prompt_id: output.text for output in Output.objects.filter(model=found.best)}
    assert best == {scores[0].output.prompt_id: scores[0].output.text for scores in ranked}
    assert OutputScore.objects.filter(output__model=found.best).count() == 3
    tasks = Task.objects.all()
    assert found.tasks_created == len(tasks) == 3
    assert {output.model for task in tasks for output in task.outputs.all()} == {found.best, found.worst}
    before = Output.objects.count()
    services.sweep()
    assert best_of.best_of_advance(found).status == "done"
    assert Output.objects.count() == before


def test_what_taking_the_best_gains(project, writer, reward_model, done):
    found = done(services.best_of_create(project=project, model=writer, reward_model=reward_model, n=2))
    for scores, (high, low) in zip(best_of.rankings(found), ((3.0, 1.0), (2.0, 2.0), (5.0, 4.0)), strict=True):
        for score, reward in zip(scores, (high, low), strict=True):
            OutputScore.objects.filter(pk=score.pk).update(reward=reward)
    shown = best_of.figures(found, best_of.rankings(found))
    # Gains over one answer: 1, 0 and ½.
    assert shown["gain"][0] == pytest.approx(0.5)
    assert shown["gain"][1] == pytest.approx(0.5 - 4.302653 * 0.5 / 3**0.5, abs=1e-5)
    assert [one["value"] for one in shown["curve"]] == pytest.approx([17 / 6, 10 / 3])
    assert shown["divergence_bound"] == divergence_bound(2)
    assert shown["chance"] == pytest.approx((1 / (1 + 2.718281828**-2) + 0.5 + 1 / (1 + 2.718281828**-1)) / 3)


def test_failures_are_told(project, writer, reward_model, done):
    for text, words in (("[fail]", "does not fit into memory"), ("]elbarocsnu[", "reward model does not fit")):
        prompt, _ = prompt_get_or_create(project=project, prompt=text)
        found = services.best_of_create(project=project, model=writer, reward_model=reward_model, n=2, prompts=[prompt])
        assert words in done(found).message
        assert found.status == "failed"


@pytest.mark.parametrize(
    ("wish", "words"),
    [({"n": 1}, "from 2 to 16"), ({"reward_model": "tiny"}, "no reward model"), ({"split": "train"}, "no prompt")],
)
def test_wishes_that_cannot_be_met(project, writer, reward_model, wish, words):
    given = {"model": writer, "reward_model": reward_model, **wish}
    if given["reward_model"] == "tiny":
        given["reward_model"] = writer
    with pytest.raises(DomainError, match=words):
        services.best_of_create(project=project, **given)
    assert not BestOf.objects.exists()


def test_through_the_api(project, alice, bob, dave, writer, reward_model, api_of, done):
    api, url = api_of(alice), "/api/v1/projects/kitchen/best-of/"
    body = {"model": "tiny", "reward_model": "judge", "n": 2, "split": "test", "limit": 2}
    assert api_of(bob).post(url, body, format="json").status_code == 403
    assert "unknown field" in str(api.post(url, {**body, "m": 1}, format="json").json()["fields"]["m"])
    made = api.post(url, body, format="json")
    assert made.status_code == 202
    done(BestOf.objects.get())
    shown = api_of(dave).get(f"/api/v1/best-of/{made.json()['id']}/").json()
    assert shown["status"] == "done"
    assert (shown["prompts"], len(shown["rankings"]), len(shown["figures"]["curve"])) == (2, 2, 2)
    scores = api.get("/api/v1/projects/kitchen/output-scores/?reward_model=judge").json()["results"]
    assert len(scores) == 8  # four answers; the best and the worst of each two again
    assert api.get(url).json()["results"][0]["reward_model"] == "judge"


def test_from_the_command_line(project, writer, reward_model, capsys):
    call_command("best_of", "kitchen", model="tiny", reward_model="judge", n=2, split="test", pairs=True)
    said = capsys.readouterr().out
    assert "Gain over one answer: 0.500 (95 %: 0.500 to 0.500), 3 prompts." in said
    assert "“tiny best of 2 by judge”" in said
    with pytest.raises(CommandError, match="There is no model"):
        call_command("best_of", "kitchen", model="none", reward_model="judge")


def test_the_pages(project, alice, dave, bob, writer, reward_model, client_of, done):
    browser = client_of(alice)
    assert "Nothing has been ranked yet." in browser.get("/p/kitchen/reward-models/").content.decode()
    form = {"model": writer.pk, "reward_model": reward_model.pk, "n": 2, "split": "test", "limit": 2, "pairs": "on"}
    url = browser.post("/p/kitchen/reward-models/", form).url
    assert 'hx-trigger="every 2s"' in browser.get(url).content.decode()
    done(BestOf.objects.get())
    page = client_of(dave).get(url).content.decode()
    assert "hx-trigger" not in page.split("<main")[1]
    assert "2 blind pairs of a best and a worst wait" in page
    assert json.loads(page.split('id="best-of-curve" type="application/json">')[1].split("</script>")[0])["rows"][1]
    assert "<html" not in client_of(dave).get(url, headers={"HX-Request": "true"}).content.decode()
    assert client_of(bob).get(url).status_code == 403
    assert client_of(dave).post("/p/kitchen/reward-models/", form).status_code == 200
    assert selectors.best_ofs_of(project).count() == 1, "a stakeholder reads"
