"""The A/B report: slices, prompts, examples, metrics, what is told of wrong use, and many rounds looked at together."""

import csv
import io
import json

import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.services import model_by_name
from feedbackhub.leaderboard.ab import ab
from feedbackhub.leaderboard.ab_examples import examples
from feedbackhub.leaderboard.ab_words import about
from feedbackhub.leaderboard.lineage import latest_pair, together
from feedbackhub.leaderboard.pair_votes import pair_votes
from feedbackhub.projects.groups import group_set, member_group_set
from feedbackhub.projects.models import Membership
from feedbackhub.projects.services import project_change
from feedbackhub.rating.models import PairTally

pytestmark = pytest.mark.django_db


def codes(found):
    return {note["code"]: note["text"] for note in found["notes"]}


def test_models_that_share_no_prompt_and_have_not_met_are_told_so(project, models):
    found = ab(project=project, a=models[0], b=models[1])
    assert found["verdict"] == "not_enough"
    assert found["headline"] == "Not enough votes yet to tell child from parent."
    assert "no prompt in common" in codes(found)["no_shared_prompts"]
    assert "references" in codes(found)["no_metrics"]


def test_models_that_nobody_has_compared_are_told_how_many_prompts_they_share(project, models, answered):
    answered("one")
    answered("two")
    found = ab(project=project, a=models[0], b=models[1])
    assert found["shared_prompts"] == 2
    assert "2 prompts" in codes(found)["never_met"]


def test_a_slice_of_four_votes_says_nothing(project, vote):
    for _ in range(30):
        vote("child", "parent", category="large")
    for _ in range(4):
        vote("child", "parent", category="small")
    child, parent = (model_by_name(project=project, name=name) for name in ("child", "parent"))
    found = ab(project=project, a=child, b=parent)
    assert [(part["category"], part["few"]) for part in found["categories"]] == [("large", False), ("small", True)]
    assert codes(found)["few_in_slice"] == "Too few votes to say anything of: small."
    only = ab(project=project, a=child, b=parent, category="small")
    assert (only["wins_a"], only["by_prompt"]["prompts"]) == (4, 4)
    assert codes(only)["few_votes"] == "4 votes say very little."


def test_slices_by_length_and_the_contracts_keys(project, vote):
    for chars in ((300, 100), (100, 110), (100, 300), (None, 3)):
        vote("child", "parent", chars=chars)
    child, parent = (model_by_name(project=project, name=name) for name in ("child", "parent"))
    found = ab(project=project, a=child, b=parent)
    assert [part["slice"] for part in found["lengths"]] == ["longer", "alike", "shorter", "unknown"]
    keys = {"a", "b", "wins_a", "wins_b", "ties", "both_bad", "win_rate", "lower", "upper", "p_value", "verdict"}
    keys |= {"anytime", "votes_needed", "categories", "position_bias", "metrics"}
    assert keys <= set(found)
    assert set(found["anytime"]) == {"e_value", "lower", "upper"}
    json.dumps(found)


def test_votes_of_one_prompt_count_as_its_design_effect_says(project, models, answered, said):
    for number in range(12):
        one = answered(f"prompt {number}")
        for _ in range(6):
            said(one, "a" if number < 9 else "b")
    found = ab(project=project, a=models[0], b=models[1])
    assert (found["wins_a"], found["wins_b"]) == (54, 18)
    assert found["design_effect"] == pytest.approx(6 * 12 / 11)
    assert found["anytime"]["e_value"] < 20, "as independent votes they would settle it"
    assert found["verdict"] == "not_enough"
    assert "tell as much as one" in codes(found)["clustered"]
    by_prompt = found["by_prompt"]
    assert (by_prompt["prompts"], by_prompt["better"], by_prompt["worse"], by_prompt["even"]) == (12, 9, 3, 0)
    assert by_prompt["p_value"] == pytest.approx(0.146, abs=0.001)  # exact sign test of 9 : 3


def test_slices_by_rater_group(project, models, answered, said, bob, carol):
    experts = group_set(project=project, name="experts")
    member_group_set(membership=Membership.objects.get(user=bob), group=experts)
    for number in range(3):
        one = answered(f"prompt {number}")
        said(one, "a", rater=bob)
        said(one, "b", rater=carol)
        said(one, "tie", source="simulated")
    said(one, "a", source="votes")
    found = ab(project=project, a=models[0], b=models[1])
    slices = {part["slice"]: (part["wins_a"], part["wins_b"], part["ties"]) for part in found["raters"]}
    assert slices == {
        "experts": (3, 0, 0),
        "imported votes": (1, 0, 0),
        "raters in no group": (0, 3, 0),
        "simulated raters": (0, 0, 3),
    }
    assert found["simulated"] == 3


def test_examples_are_the_decisive_and_the_contested(project, models, answered, said):
    clear, split, lost = answered("clear"), answered("split"), answered("lost")
    for _ in range(3):
        said(clear, "a", strength="clear", comment="plainly")
    for winner in ("a", "b", "a", "b"):
        said(split, winner)
    said(lost, "b")
    found = examples(project, pair_votes(project, *models))
    assert [one.prompt.text for one in found["for_a"]] == ["clear"]
    assert (found["for_a"][0].wins, found["for_a"][0].clear, found["for_a"][0].comments) == (3, 3, ["plainly"] * 3)
    assert [one.prompt.text for one in found["for_b"]] == ["lost"]
    assert [(one.prompt.text, one.wins, one.losses) for one in found["contested"]] == [("split", 2, 2)]
    assert "<script" not in found["for_a"][0].texts[0]


def test_the_smallest_difference_worth_having_is_the_projects(project, models):
    child, parent = models
    tallied = {"model_a": parent, "model_b": child, "wins_a": 1100, "wins_b": 1100}
    PairTally.objects.create(project=project, source="votes", **tallied)
    assert ab(project=project, a=child, b=parent)["verdict"] == "no_difference"
    project = project_change(project=project, smallest_difference=2)
    found = ab(project=project, a=child, b=parent)
    assert found["verdict"] == "not_enough"
    assert found["votes_needed"] > 2000


def test_metrics_are_compared_in_pairs_from_the_rows_of_both_runs(project, models, measured):
    measured({"child": [60.0] * 10 + [50.0] * 15, "parent": [40.0] * 10 + [45.0] * 15})
    found = {row["metric"]: row for row in ab(project=project, a=models[0], b=models[1])["metrics"]}
    difference = found["rouge1"]["difference"]
    assert difference["value"] == pytest.approx(11.0)
    assert 5 < difference["lower"] < 11 < difference["upper"] < 20
    assert (difference["n"], difference["verdict"]) == (25, "better")
    turned = ab(project=project, a=models[1], b=models[0])["metrics"][1]["difference"]
    assert (turned["value"], turned["verdict"]) == (pytest.approx(-11.0), "worse")
    corpus = found["bleu"]["difference"]
    assert (corpus["value"], corpus["lower"], corpus["verdict"]) == (2.0, None, ""), "no mean of its rows"


def test_a_runs_own_paired_difference_goes_first_and_is_turned(project, models, measured):
    evaluation = measured({"child": [1.0] * 25, "parent": [2.0] * 25})
    run = evaluation.parts.get(model=models[0]).run
    run.result = {"differences": {"bleu": {"value": 2.0, "lower": 1.0, "upper": 4.0, "n": 25, "p_value": 0.01}}}
    run.save()
    rows = {row["metric"]: row for row in ab(project=project, a=models[1], b=models[0])["metrics"]}
    assert rows["bleu"]["difference"]["lower"] == -4.0
    assert rows["bleu"]["difference"]["upper"] == -1.0
    assert rows["bleu"]["difference"]["verdict"] == "worse"


def test_many_rounds_are_looked_at_together(project, models, vote):
    grandchild = ModelVersion.objects.create(project=project, name="grandchild", kind="imported", parent=models[0])
    assert together(project)["rows"] == []
    for number in range(40):
        vote("child", "parent", "b" if number < 11 else "a")  # 29 : 11 has e ≈ 7
        vote("grandchild", "child", "b" if number < 7 else "a")  # 33 : 7 has e ≈ 450
    found = together(project)
    assert {row["a"]: row["holds"] for row in found["rows"]} == {"child": False, "grandchild": True}
    assert found["text"].startswith("Of 2 tuned models, 1 differs")
    assert latest_pair(project) == (grandchild, models[0])
    ModelVersion.objects.create(project=project, name="newborn", kind="imported", parent=models[0])
    assert latest_pair(project) == (grandchild, models[0]), "one with votes comes before one without"


# --- The page ---------------------------------------------------------------------------------------------------


def test_the_page_begins_with_the_latest_child_and_its_parent(project, models, answered, said, client_of, dave, bob):
    one = answered("What is tea?", ("A **leaf** <script>alert(1)</script>", "A drink"))
    for _ in range(3):
        said(one, "a")
    browser = client_of(dave)
    text = browser.get("/p/kitchen/leaderboard/ab/").content.decode()
    assert "child against parent" in text
    assert "The latest tuned model and its parent." in text
    assert "Most decisive for child" in text
    assert "<script>alert" not in text
    assert "Share by a link" not in text, "a stakeholder changes nothing"
    assert client_of(bob).get("/p/kitchen/leaderboard/ab/").status_code == 403
    half = browser.get("/p/kitchen/leaderboard/ab/?a=child")
    assert "Choose two models." in half.content.decode()
    assert browser.get("/p/kitchen/leaderboard/ab/?a=child&b=nobody").status_code == 404
    assert browser.get("/p/kitchen/leaderboard/ab/?a=child&b=child").status_code == 400


def test_the_numbers_can_be_taken_along(project, vote, client_of, dave):
    for number in range(30):
        vote("=child", "parent", "tie" if number % 5 == 0 else "a", category="=1+1")
    browser = client_of(dave)
    address = "/p/kitchen/leaderboard/ab/?a=%3Dchild&b=parent"
    found = browser.get(address + "&as=json").json()
    assert (found["wins_a"], found["ties"], found["verdict"]) == (24, 6, "better")
    rows = list(csv.DictReader(io.StringIO(browser.get(address + "&as=csv").content.decode())))
    assert [(row["slice"], row["name"], row["wins_a"]) for row in rows[:2]] == [
        ("all", "", "24"),
        ("categories", "'=1+1", "24"),
    ]
    sliced = browser.get(address + "&category=%3D1%2B1").content.decode()
    assert "Only votes of the category =1+1." in sliced


def test_where_there_are_no_two_models_a_page_says_how_to_come_by_them(project, vote, client_of, dave, alice):
    for page in ("ab/", "compare/"):
        text = client_of(dave).get(f"/p/kitchen/leaderboard/{page}").content.decode()
        assert "It takes two models" in text
        assert "/models/new/" not in text, "a stakeholder registers none"
        assert "/models/new/" in client_of(alice).get(f"/p/kitchen/leaderboard/{page}").content.decode()
    board = "/p/kitchen/leaderboard/"
    assert "/judge/tasks/" not in client_of(dave).get(board).content.decode()
    assert "Import votes" in client_of(alice).get(board).content.decode()
    vote("red", "blue", category="tea")
    vote("red", "blue", category="soup", minute=1)
    sliced = client_of(dave).get(board + "?category=tea&since=2027-01-01").content.decode()
    assert "No votes in this slice yet." in sliced
    assert "There may be votes in others." in sliced


def test_a_slice_that_is_all_the_votes_is_not_shown_again(project, models, vote, client_of, dave):
    for number in range(8):
        vote("child", "parent", "ab"[number % 2], category="tea")
    address = "/p/kitchen/leaderboard/ab/?a=child&b=parent"
    assert "By category" not in client_of(dave).get(address).content.decode()
    vote("child", "parent", category="soup")
    text = client_of(dave).get(address).content.decode()
    assert "Win rate of child by category" in text
    assert '"middle": 0.5' in text


def test_a_forecast_is_said_as_exactly_as_it_is_known():
    assert [about(votes) for votes in (7, 19, 47, 288, 1617, 12_345)] == ["7", "19", "47", "290", "1,600", "12,000"]


def test_models_stand_side_by_side_on_the_same_inputs(project, models, measured, client_of, dave):
    browser = client_of(dave)
    assert "Nothing was measured" in browser.get("/p/kitchen/leaderboard/compare/").content.decode()
    measured({"child": [60.0] * 25, "parent": [40.0] * 25})
    text = browser.get("/p/kitchen/leaderboard/compare/").content.decode()
    assert "Before and after: parent and child" in text
    assert "<strong>60.00</strong>" in text
    found = browser.get("/p/kitchen/leaderboard/compare/?model=child&model=parent&as=json").json()
    rows = {row["metric"]: row for row in found["rows"]}
    assert rows["rouge1"]["models"]["child"]["best"] is True
    assert rows["rouge1"]["models"]["parent"]["n"] == 25
    other = ModelVersion.objects.create(project=project, name="other", kind="imported")
    text = browser.get(f"/p/kitchen/leaderboard/compare/?model=child&model={other.name}").content.decode()
    assert "ROUGE-1 was not taken of other on the same inputs." in text
    plain = browser.get("/p/kitchen/leaderboard/compare/?model=child&model=parent&as=csv").content.decode()
    assert "rouge1,text-overlap,child,60.0" in plain


def test_what_is_kept_of_the_votes_is_read_anew_with_each_vote(project, vote):
    vote("child", "parent", chars=(300, 100))
    child, parent = (model_by_name(project=project, name=name) for name in ("child", "parent"))
    assert ab(project=project, a=child, b=parent)["position_bias"]["decided"] == 1
    vote("child", "parent", "b", chars=(100, 300))
    found = ab(project=project, a=child, b=parent)
    assert found["position_bias"]["decided"] == 2
    assert [(part["slice"], part["wins_a"]) for part in found["lengths"]] == [("longer", 1), ("shorter", 0)]
