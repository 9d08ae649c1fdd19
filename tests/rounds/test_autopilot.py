"""The autopilot: it waits, launches, and promotes only on what people's blind votes say; each decision is logged."""

import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.rating.models import Assignment, PairTally
from feedbackhub.rounds import autopilot as service
from feedbackhub.rounds import services
from feedbackhub.rounds.models import Autopilot, FollowUp, Promotion, Round
from feedbackhub.rounds.promotion import champion, promotion_create
from feedbackhub.runs.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def base(project, weights, stand_in):
    return ModelVersion.objects.create(project=project, name="tiny", kind="local", base=str(weights))


@pytest.fixture
def pilot(project, alice, base):
    return service.autopilot_set(project=project, by=alice, is_on=True, every=10, start=base)


@pytest.fixture
def judged(pair, judge):
    """judged(n): n more judgments of pairs, each of a prompt of its own."""
    made = []

    def make(n, **fields):
        for _ in range(n):
            one, other = pair(f"question {len(made)}")
            made.append(judge([[one], [other]], **fields))

    return make


@pytest.fixture
def under_way(pilot, judged, project):
    """A round that the autopilot launched, trained, its blind pairs made; `votes(wins, losses)` of people on it."""
    judged(10)
    tuning_round = service.autopilot_step(autopilot=pilot).round
    Run.objects.filter(pk=tuning_round.run_id).update(state="completed")
    tuning_round.model = ModelVersion.objects.create(
        project=project, name="child", kind="local", base="x", parent=tuning_round.base_model
    )
    tuning_round.save()
    FollowUp.objects.create(round=tuning_round, step="pairs", status="done")
    return tuning_round


def votes(tuning_round, wins, losses, source="rater"):
    low, high = sorted((tuning_round.model, tuning_round.base_model), key=lambda model: model.pk)
    count = {"wins_a": losses, "wins_b": wins} if low == tuning_round.base_model else {"wins_a": wins, "wins_b": losses}
    names = {"project": tuning_round.project, "model_a": low, "model_b": high, "source": source, "category": ""}
    PairTally.objects.update_or_create(**names, defaults=count)


def open_pair(tuning_round, make_prompt):
    from feedbackhub.catalog.content import text_parts
    from feedbackhub.catalog.models import Output
    from feedbackhub.rating.services import tasks_create

    prompt = make_prompt("one more", split="test")
    for number, model in enumerate((tuning_round.model, tuning_round.base_model)):
        Output.objects.create(prompt=prompt, model=model, parts=text_parts(f"it is {number}"), content_key=str(number))
    tasks_create(project=tuning_round.project, models=[tuning_round.model, tuning_round.base_model], kind="pairwise")
    assert Assignment.objects.filter(project=tuning_round.project).exists()


def test_it_is_off_until_somebody_switches_it_on(project, alice, base, judged):
    judged(12)
    service.sweep()
    assert not Round.objects.filter(project=project).exists()
    pilot = service.autopilot_set(project=project, by=alice, is_on=False, every=10, start=base)
    service.sweep()
    assert service.autopilot_step(autopilot=pilot) is None
    assert not Round.objects.filter(project=project).exists()


def test_it_launches_once_enough_new_judgments_by_people_have_come(pilot, judged, project):
    judged(9)
    judged(20, source="simulated")
    assert service.autopilot_step(autopilot=pilot) is None
    judged(1)
    service.sweep()
    (tuning_round,) = Round.objects.filter(project=project)
    assert (tuning_round.recipe, tuning_round.base_model.name) == ("dpo", "tiny")
    assert tuning_round.run.state == "queued"
    decision = pilot.decisions.get(kind="launched")
    assert "10 new judgments have come (of 10): round 1, DPO from tiny on 30 rows." in decision.words
    assert decision.figures["new_judgments"] == 10
    service.sweep()
    assert Round.objects.filter(project=project).count() == 1, "one round at a time"
    assert service.new_judgments(Autopilot.objects.get()) == 0


def test_people_preferring_the_new_model_promote_it_and_the_next_round_starts_from_it(
    pilot, under_way, judged, project
):
    votes(under_way, 30, 6)
    service.sweep()
    promotion = Promotion.objects.filter(project=project).order_by("-pk").first()
    assert promotion.model == under_way.model
    assert promotion.by is None
    assert "30 : 6" in promotion.reason
    decision = pilot.decisions.get(kind="promoted")
    assert decision.promotion == promotion
    assert decision.figures["e_value"] > 20
    judged(10)
    service.sweep()
    assert Round.objects.filter(project=project).latest("pk").base_model == under_way.model


def test_few_votes_decide_nothing_while_pairs_are_open(pilot, under_way, make_prompt, project):
    open_pair(under_way, make_prompt)
    votes(under_way, 6, 2)
    assert service.autopilot_step(autopilot=pilot) is None
    assert champion(project) is None
    assert service.standing(pilot).open_pairs == 1


def test_simulated_votes_promote_nobody(pilot, under_way, make_prompt, project):
    open_pair(under_way, make_prompt)
    votes(under_way, 300, 6, source="simulated")
    assert service.autopilot_step(autopilot=pilot) is None
    assert champion(project) is None


@pytest.mark.parametrize(("wins", "losses", "says"), [(4, 30, "child is worse"), (6, 5, "no pair is left")])
def test_a_champion_that_is_not_beaten_stays(pilot, under_way, project, wins, losses, says):
    votes(under_way, wins, losses)
    decision = service.autopilot_step(autopilot=pilot)
    assert decision.kind == "kept"
    assert says in decision.words
    assert "tiny stays champion" in decision.words
    assert not Promotion.objects.exists()
    assert service.autopilot_step(autopilot=pilot) is None, "decided once"


def test_a_round_that_fails_is_given_up_with_its_reason(pilot, judged):
    judged(10)
    tuning_round = service.autopilot_step(autopilot=pilot).round
    Run.objects.filter(pk=tuning_round.run_id).update(state="failed", error_message="The disk is full.")
    decision = service.autopilot_step(autopilot=pilot)
    assert (decision.kind, decision.words) == ("gave_up", "Round 1 made no model: The disk is full.")


def test_judgments_without_a_usable_row_are_logged_once_and_waited_past(pilot, pair, judge):
    for number in range(10):
        one, other = pair(f"question {number}")
        judge([[one, other]])
    decision = service.autopilot_step(autopilot=pilot)
    assert decision.kind == "gave_up"
    assert "no usable row" in decision.words
    assert service.autopilot_step(autopilot=pilot) is None


def test_judgments_that_a_round_knew_are_not_new(project, alice, base, judged):
    from feedbackhub.rounds.datasets import dataset_freeze

    judged(12)
    dataset = dataset_freeze(project=project, by=alice)
    services.round_create(project=project, by=alice, recipe="dpo", base_model=base, dataset=dataset)
    pilot = service.autopilot_set(project=project, by=alice, is_on=True, every=10, start=base)
    assert service.new_judgments(pilot) == 0


def test_what_cannot_be_is_refused_in_words(project, alice, base):
    for change, says in (
        ({"recipe": "reward"}, "cannot run the recipe reward"),
        ({"every": 1}, "from 10 to"),
        ({"settings": {"speed": 1}}, '"speed" is no setting'),
        ({"start": None}, "Name the model to start from"),
    ):
        with pytest.raises(DomainError, match=says):
            service.autopilot_set(project=project, by=alice, is_on=True, **{"start": base, **change})
    assert not Autopilot.objects.filter(is_on=True).exists()


def test_a_promotion_needs_a_reason_and_a_policy(project, alice, base):
    with pytest.raises(DomainError, match="Say why"):
        promotion_create(project=project, model=base, by=alice, reason="  ")
    reward = ModelVersion.objects.create(project=project, name="judge", kind="local", role="reward")
    with pytest.raises(DomainError, match="reward model"):
        promotion_create(project=project, model=reward, by=alice, reason="good")
    promotion_create(project=project, model=base, by=alice, reason="the first")
    with pytest.raises(DomainError, match="champion already"):
        promotion_create(project=project, model=base, by=alice, reason="again")
    assert champion(project) == base


def test_pages_and_api_tell_and_switch_it(project, alice, dave, bob, under_way, api_of, client_of):
    api, url = api_of(alice), f"/api/v1/projects/{project.slug}/"
    shown = api.get(url + "autopilot/").json()
    assert (shown["on"], shown["every"], shown["champion"], shown["round"]) == (True, 10, "tiny", under_way.pk)
    assert api.put(url + "autopilot/", {"on": False}, format="json").json()["on"] is False
    log = api_of(dave).get(url + "autopilot/decisions/").json()["results"]
    assert [one["kind"] for one in log] == ["switched", "launched", "switched"]
    assert api_of(dave).put(url + "autopilot/", {"on": True}, format="json").status_code == 403
    made = api.post(url + "promotions/", {"model": "child", "reason": "It is shorter."}, format="json")
    assert made.status_code == 201
    assert api.get(url + "promotions/").json()["results"][0]["by"] == "alice"
    page = client_of(dave).get(f"/p/{project.slug}/rounds/autopilot/").content.decode()
    assert "10 new judgments have come" in page
    assert "It is shorter." in page
    assert "<form" not in page.split("<main")[1].split("</main")[0]
    sent = client_of(alice).post(f"/p/{project.slug}/rounds/autopilot/", {"is_on": "on", "every": 50, "recipe": "dpo"})
    assert sent.status_code == 302
    assert Autopilot.objects.get().every == 50
    assert client_of(bob).get(f"/p/{project.slug}/rounds/autopilot/").status_code == 403


def test_a_person_promotes_from_the_rounds_page(project, alice, under_way, client_of):
    browser, url = client_of(alice), f"/p/{project.slug}/rounds/{under_way.number}/"
    assert "Promote it to champion" in browser.get(url).content.decode()
    browser.post(url + "promote/", {"reason": "Raters like it."})
    assert champion(project) == under_way.model
    assert "is this project’s champion" in browser.get(url).content.decode()


def test_a_model_is_promoted_from_its_report_with_the_reason(project, base, client_of, alice, bob):
    child = ModelVersion.objects.create(project=project, name="child", kind="local", base=base.base, parent=base)
    admin, url = client_of(alice), f"/p/{project.slug}/rounds/promote/"
    report = admin.get(f"/p/{project.slug}/leaderboard/ab/?a=child&b=tiny").content.decode()
    assert "Promote child to champion" in report
    asked = {"model": "child", "against": "tiny", "reason": "Raters like it better."}
    assert client_of(bob).post(url, asked).status_code == 403
    assert "Say why" in admin.post(url, {**asked, "reason": " "}, follow=True).content.decode()
    assert champion(project) is None
    promoted = admin.post(url, asked, follow=True).content.decode()
    assert "child is this project’s champion." in promoted
    assert "Promote child" not in promoted
    assert (champion(project), Promotion.objects.get().reason) == (child, "Raters like it better.")
    assert admin.post(url, {**asked, "model": "nobody"}).status_code == 404
