"""How ratings came to be, and what they do not explain; pages and API say the same."""

import numpy as np
import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.leaderboard.history import generations, history_compute
from feedbackhub.leaderboard.options import Options
from feedbackhub.leaderboard.selectors import board

pytestmark = pytest.mark.django_db


@pytest.fixture
def circle(vote):
    """Paper beats rock, rock scissors, scissors paper; a rater who loves rock; an hour with a burst."""
    with vote.together():
        _circle(vote)


def _circle(vote):
    generator = np.random.default_rng(0)
    beats = [("paper", "rock"), ("rock", "scissors"), ("scissors", "paper")]
    for number in range(480):
        a, b = beats[number % 3]
        vote(a, b, "a" if generator.random() < 0.85 else "b", judge=f"judge {number % 5}", minute=number * 30)
    for number in range(60):
        vote("rock", "paper", judge="fan", minute=6000 + number / 10)


def test_the_last_moment_of_the_history_is_the_board(project, circle):
    answer = history_compute(project, Options())
    rows = {row["model"]: row for row in board(project=project)["rows"]}
    elo = {row["model"]: row["rating"] for row in board(project=project, method="elo")["rows"]}
    assert answer["votes"][-1] == 540
    assert answer["moments"] == sorted(answer["moments"])
    assert 20 < len(answer["moments"]) <= 30
    for name in ("rock", "paper", "scissors"):
        assert answer["ratings"][name][-1] == pytest.approx(rows[name]["rating"])
        assert answer["lower"][name][-1] == pytest.approx(rows[name]["lower"])
        assert answer["elo"][name][-1] == pytest.approx(elo[name])
        assert len(answer["ratings"][name]) == len(answer["moments"])


def test_a_history_without_votes_is_empty_and_one_of_a_single_moment_is_no_curve(project, vote, client_of, dave):
    assert history_compute(project, Options())["moments"] == []
    for winner in "abba":
        vote("red", "blue", winner, minute=0)
    answer = history_compute(project, Options())
    assert (len(answer["moments"]), answer["votes"]) == (1, [4])
    assert "Over time" not in client_of(dave).get(f"/p/{project.slug}/leaderboard/beside/").content.decode()


def test_what_does_not_fit_is_named_and_stakeholders_see_no_rater(project, circle, api_of, alice, dave):
    path = f"/api/v1/projects/{project.slug}/leaderboard/anomalies/"
    answer = api_of(alice).get(path).json()
    found = {one["code"]: one for one in answer["found"]}
    assert {"rock", "scissors", "paper"} >= set(found["circle"]["models"])
    assert (found["rater"]["rater"], found["rater"]["model"]) == ("fan", "rock")
    assert found["pair"]["p"] < 0.01
    assert (found["burst"]["by_one"], found["burst"]["votes"]) == (pytest.approx(60 / 62, abs=0.03), 62)
    assert "fan" in found["rater"]["text"]
    assert answer["triads"] == {"triads": 1, "circular": 1, "expected": 0.25}
    seen = api_of(dave).get(path).json()
    assert "fan" not in str(seen)
    assert "one rater" in next(one["text"] for one in seen["found"] if one["code"] == "rater")


def test_a_model_that_wins_by_length_is_told(project, vote, client_of, dave):
    generator = np.random.default_rng(0)
    with vote.together():
        for number in range(300):
            long_ = generator.random() < 0.85  # red writes long
            chars = (900, 300) if long_ else (300, 900)
            vote("red", "blue", "a" if generator.random() < (0.8 if long_ else 0.2) else "b", chars=chars)
            vote("blue", "green", "ab"[number % 2], chars=(400 + number, 410))
    page = client_of(dave).get(f"/p/{project.slug}/leaderboard/beside/").content.decode()
    assert "At equal length red falls by" in page


def test_each_model_stands_beside_what_it_was_made_from(project, vote):
    for a, b in (("child", "base"), ("base", "child"), ("base", "other"), ("other", "base"), ("child", "base")):
        vote(a, b)
    by_name = {model.name: model for model in ModelVersion.objects.filter(project=project)}
    assert generations(project, board(project=project)["rows"]) == []
    ModelVersion.objects.filter(name="child").update(parent=by_name["base"])
    (chain,) = generations(project, board(project=project)["rows"])
    assert chain["name"] == "child"
    assert [step["model"] for step in chain["steps"]] == ["base", "child"]


def test_the_pages_show_options_history_and_what_is_odd(project, circle, client_of, dave, alice):
    browser = client_of(dave)
    page = browser.get(f"/p/{project.slug}/leaderboard/?cluster=rater&ties=davidson&anchor=rock").content.decode()
    assert "votes of a rater go together" in page
    assert "rock stands at 1000" in page
    assert "Votes that belong together are taken as one: 6 raters." in page
    assert "Check the votes" not in page
    assert browser.get(f"/p/{project.slug}/leaderboard/tallies/").status_code == 403
    aside = browser.get(f"/p/{project.slug}/leaderboard/beside/").content.decode()
    assert "Over time" in aside
    assert "votes came within the hour" in aside
    admin = client_of(alice)
    assert "Check the votes" in admin.get(f"/p/{project.slug}/leaderboard/").content.decode()
    assert "Nobody has checked yet." in admin.get(f"/p/{project.slug}/leaderboard/tallies/").content.decode()
    csv = browser.get(f"/p/{project.slug}/leaderboard/?as=csv&cluster=rater").content.decode()
    assert csv.splitlines()[0].startswith("rank,rank_lower,rank_upper,model,rating")
    wrong = browser.get(f"/p/{project.slug}/leaderboard/?cluster=moon")
    assert wrong.status_code == 400
