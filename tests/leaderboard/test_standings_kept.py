"""Views that tallies cannot give are kept with their time, refreshed by the queue, and never lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from feedbackhub.leaderboard import standings
from feedbackhub.leaderboard.models import Standing
from feedbackhub.leaderboard.options import Options
from feedbackhub.leaderboard.selectors import board_of
from feedbackhub.leaderboard.services import sweep
from feedbackhub.rating.models import PairTally
from feedbackhub.rating.services import tallies_rebuild

pytestmark = pytest.mark.django_db(transaction=True)
ELO = Options(method="elo")


@pytest.fixture
def some(vote):
    for winner in "abaab":
        vote("red", "blue", winner)


@pytest.fixture
def many(monkeypatch):
    """As if five votes were more than one waits for."""
    monkeypatch.setattr(standings, "FRESH_UP_TO", 4)
    monkeypatch.setattr(standings, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(standings, "PAUSE_TIMES", 0)


def elo(project, **how):
    return board_of(project=project, options=ELO, **how)


def test_with_few_votes_a_view_is_of_the_last_one(project, some, vote):
    before = elo(project)
    kept = Standing.objects.get()
    assert (before["votes"], before["standing"]["current"]) == (5, True)
    assert before["as_of"] == kept.computed_at
    assert elo(project)["as_of"] == before["as_of"], "computed anew without a vote"
    vote("blue", "red")
    after = elo(project)
    assert (after["votes"], Standing.objects.count()) == (6, 1)
    assert after["as_of"] > before["as_of"]


def test_with_many_one_sees_the_last_one_and_the_queue_makes_the_next(project, some, vote, queue, many):
    assert elo(project, wait=False) is None, "nobody waits for it on a page"
    queue()
    assert elo(project, wait=False)["votes"] == 5
    vote("blue", "red")
    stale = elo(project)
    assert (stale["votes"], stale["standing"]["current"]) == (5, False)
    queue()
    fresh = elo(project)
    assert (fresh["votes"], fresh["standing"]["current"]) == (6, True)


def test_a_program_gets_an_answer_the_first_time(project, some, queue, many):
    assert elo(project)["votes"] == 5


def test_what_the_queue_has_lost_the_sweep_queues_again(project, some, vote, queue, many, valkey):
    import redis

    elo(project)
    vote("blue", "red")
    assert elo(project)["standing"]["current"] is False
    redis.Redis.from_url(valkey).flushall()
    sweep()
    queue()
    assert elo(project)["votes"] == 5, "a job that may still come is not queued twice"
    Standing.objects.update(queued_at=timezone.now() - timedelta(hours=1))
    sweep()
    queue()
    assert elo(project)["votes"] == 6


def test_the_sweep_keeps_fresh_what_somebody_looked_at_and_forgets_the_rest(project, some, vote, queue, many):
    elo(project)
    vote("blue", "red")
    Standing.objects.update(asked_at=timezone.now() - timedelta(hours=2))
    sweep()
    queue()
    assert Standing.objects.get().answer["votes"] == 5
    elo(project)  # looked at again
    queue()
    assert Standing.objects.get().answer["votes"] == 6
    Standing.objects.update(asked_at=timezone.now() - timedelta(days=31))
    sweep()
    assert not Standing.objects.exists()


def test_a_view_of_what_is_gone_goes(project, some, queue, many):
    board_of(project=project, options=Options(method="elo", anchor="red"))
    Standing.objects.update(options={"method": "elo", "anchor": "nobody"}, mark="")
    sweep()
    queue()
    assert not Standing.objects.exists()


def test_a_vote_that_moves_between_outcomes_changes_the_mark(project, some):
    marks = {standings.votes_of(project)}
    tally = PairTally.objects.get()
    for wins_a, wins_b in ((tally.wins_a - 1, tally.wins_b + 1), (tally.wins_a + 1, tally.wins_b - 1)):
        PairTally.objects.update(wins_a=wins_a, wins_b=wins_b)
        marks.add(standings.votes_of(project))
    assert len({mark for _, mark in marks}) == 3
    assert {votes for votes, _ in marks} == {5}


def test_tallies_that_differ_are_found_and_rebuilt_from_the_api(project, some, queue, api_of, alice, dave):
    path = f"/api/v1/projects/{project.slug}/tallies/"
    admin = api_of(alice)
    assert admin.get(path).json()["agree"] is None
    PairTally.objects.update(wins_a=90)
    answer = admin.post(path, {"action": "check"}, format="json")
    assert (answer.status_code, answer.json()["pending"]) == (202, True)
    queue()
    found = admin.get(path).json()
    assert (found["agree"], found["differences"], found["pending"]) == (False, 1, False)
    assert "90" in found["shown"][0]["stored"]
    admin.post(path, {"action": "rebuild"}, format="json")
    queue()
    assert admin.get(path).json()["agree"] is True
    assert PairTally.objects.get().wins_a == 3
    assert api_of(dave).get(path).status_code == 403
    assert admin.post(path, {"action": "bake"}, format="json").status_code == 400


def test_a_lost_check_is_queued_again(project, some, queue, valkey):
    import redis

    standings.tallies_queue(project=project)
    redis.Redis.from_url(valkey).flushall()
    Standing.objects.update(queued_at=timezone.now() - timedelta(hours=1))
    sweep()
    queue()
    assert standings.tallies_view(project).answer == {"differences": 0, "shown": []}


def test_a_rebuild_of_equal_tallies_says_the_same(project, some):
    before = elo(project)["rows"]
    tallies_rebuild(project=project)
    assert elo(project)["rows"] == before


def test_only_so_many_views_of_a_project_are_kept(project, some, monkeypatch):
    monkeypatch.setattr(standings, "AT_MOST", 3)
    for day in range(1, 7):
        board_of(project=project, options=Options.read({"until": f"2027-01-0{day}"}))
    assert [row.options["until"][:10] for row in Standing.objects.order_by("pk")] == [
        f"2027-01-0{day}" for day in (4, 5, 6)
    ]
