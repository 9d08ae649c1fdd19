"""What an admin reads of a draft before it is launched, level by level; and what keeps it from being launched."""

import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.rounds import services
from feedbackhub.rounds.datasets import dataset_freeze
from feedbackhub.rounds.preflight import preflight
from feedbackhub.rounds.presets import presets
from feedbackhub.rounds.recipes import recipes, settings_check

pytestmark = pytest.mark.django_db


@pytest.fixture
def base(project, weights, stand_in):
    return ModelVersion.objects.create(project=project, name="tiny", kind="local", base=str(weights))


@pytest.fixture
def draft(project, alice, base):
    def make(recipe="dpo", **settings):
        kind = {"dpo": "preference", "kto": "unpaired", "sft": "sft"}[recipe]
        dataset = dataset_freeze(project=project, by=alice, kind=kind)
        return services.round_create(
            project=project, by=alice, recipe=recipe, base_model=base, dataset=dataset, settings=settings
        )

    return make


@pytest.fixture
def pairs(make_prompt, make_output, judge):
    """pairs(n, longer=k): n judged pairs, in k of which the longer answer was chosen."""

    def make(n, longer, **fields):
        for number in range(n):
            prompt = make_prompt(f"question {number}", **fields)
            long, short = make_output(prompt, f"much longer answer {number}"), make_output(prompt, f"no {number}")
            judge([[long], [short]] if number < longer else [[short], [long]])

    return make


def findings(tuning_round):
    return {one["code"]: one for one in preflight(tuning_round)["findings"]}


def test_few_rows_length_bias_and_one_rater_are_said_with_numbers(pairs, draft):
    pairs(20, longer=17)
    found = findings(draft())
    assert found["few_rows"]["level"] == "warns"
    assert "Only 20 rows" in found["few_rows"]["text"]
    assert "The longer answer wins in 85 % [64 %, 95 %] of 20 pairs" in found["length_bias"]["text"]
    assert found["length_bias"]["level"] == "warns"
    assert found["length_bias"]["advice"]
    assert found["few_steps"]["figures"] == {"steps": 3}  # 20 rows, 8 a step
    assert found["one_rater"]["level"] == found["no_validation"]["level"] == "warns"
    assert found["no_leak"]["level"] == found["duplicates"]["level"] == "fine"
    assert "estimated at four bytes a token" in found["lengths"]["text"]


def test_an_even_share_of_longer_answers_is_fine(pairs, draft):
    pairs(20, longer=11)
    assert findings(draft())["length_bias"]["level"] == "fine"


def test_duplicates_conflicts_and_what_was_left_out(make_prompt, make_output, judge, draft):
    prompt = make_prompt("What is tea?")
    first, again = make_output(prompt, "a leaf"), make_output(prompt, "a leaf")
    other, copy = make_output(prompt, "a stone"), make_output(prompt, "a stone")
    judge([[first], [other]])
    judge([[again], [copy]])
    judge([[other], [again]])
    judge([[first, copy]])
    found = findings(draft())
    assert found["duplicates"]["figures"]["count"] == 1
    assert found["conflicts"]["figures"] == {"count": 1}
    assert found["left_out"]["figures"] == {"tie": 1}


def test_agreement_counts_pairs_without_a_majority_too(make_prompt, make_output, judge, draft, alice, bob):
    for number in range(4):
        prompt = make_prompt(f"question {number}")
        one, other = make_output(prompt, f"one {number}"), make_output(prompt, f"other {number}")
        judge([[one], [other]], rater=alice)
        judge([[one], [other]] if number < 1 else [[other], [one]], rater=bob)
    found = findings(draft())["agreement"]
    assert "Of 4 that several judged, all agreed in 25 %" in found["text"]
    assert found["level"] == "warns"
    assert found["figures"]["no_majority"] == 3


def test_thumbs_out_of_balance_come_with_the_weight_to_set(make_prompt, make_output, judge, draft):
    for number in range(10):
        output = make_output(make_prompt(f"question {number}"), f"answer {number}")
        judge(thumbs={output: 1 if number < 8 else -1})
    found = findings(draft("kto"))["label_balance"]
    assert found["level"] == "warns"
    assert "8 thumbs up and 2 down; weighed, 4.00 to 1" in found["text"]
    assert "good_weight to 0.25" in found["advice"]
    assert findings(draft("kto", good_weight=0.25))["label_balance"]["level"] == "fine"


def test_rows_longer_than_max_length_are_told(make_prompt, make_output, judge, draft):
    for number, size in enumerate((10, 10, 2000, 20)):
        prompt = make_prompt(f"question {number} " + "word " * (300 if number == 3 else 1))
        judge([[make_output(prompt, "x" * size)], [make_output(prompt, "no")]])
    found = findings(draft(max_length=200))["too_long"]
    assert found["level"] == "warns"
    assert (found["figures"]["cut"], found["figures"]["dropped"]) == (1, 1)


def test_a_test_prompt_among_the_trained_stops_the_round_unless_it_is_wanted(
    pairs, draft, make_prompt, project, alice, api_of, client_of, queue
):
    pairs(3, longer=1)
    tuning_round = draft()
    # The same question under another system prompt: another prompt to the catalog, the same to a model.
    question = make_prompt("question 1 again")
    question.messages = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "Question  1"}]},
    ]
    question.split = "test"
    question.save()
    found = preflight(tuning_round)
    assert found["level"] == found["findings"][0]["level"] == "stops"
    assert found["findings"][0]["code"] == "test_leak"
    with pytest.raises(DomainError, match="also a test prompt"):
        services.round_launch(tuning_round=tuning_round)
    api, url = api_of(alice), f"/api/v1/rounds/{tuning_round.pk}/"
    refused = api.post(url + "launch/")
    assert refused.status_code == 409
    assert refused.json()["code"] == "preflight"
    page = client_of(alice).get(f"/p/{project.slug}/rounds/{tuning_round.number}/").content.decode()
    assert "Launch all the same" in page
    assert api.post(url + "launch/", {"anyway": True}, format="json").status_code == 202


def test_page_and_api_show_the_same_findings_to_admins_only(pairs, draft, project, alice, bob, api_of, client_of):
    pairs(4, longer=4)
    tuning_round = draft()
    page = client_of(alice).get(f"/p/{project.slug}/rounds/{tuning_round.number}/").content.decode()
    answer = api_of(alice).get(f"/api/v1/rounds/{tuning_round.pk}/preflight/")
    assert answer.status_code == 200
    for one in answer.json()["findings"]:
        assert f'data-finding="{one["code"]}"' in page
    assert answer.json()["estimate"] is None
    assert "Before it is launched" in page
    assert api_of(bob).get(f"/api/v1/rounds/{tuning_round.pk}/preflight/").status_code == 403


def test_a_missing_base_is_found_before_the_run_finds_it(pairs, draft, base):
    pairs(3, longer=1)
    tuning_round = draft()
    base.base += "-gone"
    base.save()
    tuning_round.refresh_from_db()
    assert findings(tuning_round)["base_missing"]["level"] == "stops"


def test_each_recipe_has_presets_that_it_accepts_and_that_say_why(api_of, alice, project, client_of):
    for recipe in recipes():
        quick, balanced, thorough = presets(recipe)
        assert balanced.settings == {}
        for one in (quick, balanced, thorough):
            settings_check(recipe, one.settings)
            assert str(one.reason)
        assert quick.settings["max_steps"] == 60
        assert thorough.settings.get("epochs", 0) > 1
    shown = api_of(alice).get("/api/v1/presets/").json()
    assert shown["dpo"][2]["name"] == "thorough"
    page = client_of(alice).get(f"/p/{project.slug}/rounds/new/?recipe=dpo&preset=quick").content.decode()
    assert 'name="setting_max_steps" value="60"' in page


def test_a_preset_by_api_fills_what_the_settings_leave_open(pairs, draft, project, alice, api_of):
    pairs(3, longer=1)
    dataset = draft().dataset_id
    body = {"recipe": "dpo", "base_model": "tiny", "dataset": dataset, "preset": "quick", "settings": {"max_steps": 5}}
    url = f"/api/v1/projects/{project.slug}/rounds/"
    made = api_of(alice).post(url, body, format="json")
    assert made.status_code == 201, made.content
    assert (made.json()["settings"]["max_steps"], made.json()["settings"]["lora_r"]) == (5, 8)
    refused = api_of(alice).post(url, {**body, "preset": "hasty"}, format="json")
    assert refused.status_code == 400
    assert "preset" in refused.json()["fields"]
