"""What the options do to the board: which votes, which errors, which scale; and wrong use is told."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from feedbackhub.catalog.content import text_parts
from feedbackhub.catalog.models import Output
from feedbackhub.catalog.services import model_get_or_create_imported, prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.leaderboard.ballots import ballots_read
from feedbackhub.leaderboard.options import Options
from feedbackhub.leaderboard.selectors import board, board_of

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def look(project):
    """look(cluster="rater") → the board by these options; `.rows` by model, `.notes` by code."""

    class Look:
        def __init__(self, **given):
            self.board = board_of(project=project, options=Options.read(given))
            self.rows = {row["model"]: row for row in self.board["rows"]}
            self.notes = {note["code"]: note for note in self.board["notes"]}

    return Look


@pytest.fixture
def crowd(vote):
    """Three models, six judges of whom each has a favourite, eight questions; 120 votes, a fifth of them ties."""
    with vote.together():
        _crowd(vote)


def _crowd(vote):
    generator = np.random.default_rng(0)
    names = ("red", "blue", "green")
    for number in range(120):
        a, b = generator.choice(3, 2, replace=False)
        judge = int(generator.integers(6))
        if generator.random() < 0.2:
            winner = "tie"
        elif judge % 3 in (a, b) and generator.random() < 0.8:
            winner = "a" if a == judge % 3 else "b"
        else:
            winner = "a" if (a < b) == (generator.random() < 0.6) else "b"
        vote(names[a], names[b], winner, judge=f"judge {judge}", question=f"q{number % 8}", chars=(100 + number, 150))


def test_clusters_change_errors_and_not_ratings(crowd, look):
    plain = look()
    for way, counts in (("rater", [6]), ("prompt", [8]), ("both", [6, 8])):
        clustered = look(cluster=way)
        assert clustered.notes["clusters"]["value"] == counts
        assert "rough" in clustered.notes["clusters"]["text"]
        for name, row in clustered.rows.items():
            assert row["rating"] == pytest.approx(plain.rows[name]["rating"])
            assert row["se"] != pytest.approx(plain.rows[name]["se"], rel=1e-3)


def test_intervals_by_bootstrap_and_for_all_models_at_once(crowd, look):
    plain, drawn, together = look(), look(intervals="bootstrap"), look(intervals="simultaneous")
    assert drawn.notes["bootstrap"]["value"] + drawn.notes["bootstrap"]["separated"] == 500
    for name, row in plain.rows.items():
        assert drawn.rows[name]["se"] == pytest.approx(row["se"], rel=0.25)
        assert together.rows[name]["upper"] > row["upper"]
    assert "standing" not in together.board
    assert drawn.board["standing"]["current"] is True


def test_davidsons_ties_say_how_likely_ties_are(crowd, look):
    answer = look(ties="davidson")
    share = sum(row["ties"] for row in answer.rows.values()) / sum(row["votes"] for row in answer.rows.values())
    nu = answer.notes["davidson_nu"]["value"]
    assert nu / (2 + nu) == pytest.approx(share, abs=0.03)
    assert answer.rows["red"]["rating"] != pytest.approx(look().rows["red"]["rating"], abs=1)
    by_votes = look(ties="davidson", until="2030-01-01")
    assert by_votes.rows["red"]["se"] == pytest.approx(answer.rows["red"]["se"])


def test_an_anchor_stands_at_1000_in_any_method(crowd, look):
    for options in ({}, {"method": "elo"}, {"cluster": "rater"}, {"control": "length"}):
        plain, anchored = look(**options), look(anchor="blue", **options)
        assert anchored.rows["blue"]["rating"] == pytest.approx(1000)
        gap = [one.rows["red"]["rating"] - one.rows["green"]["rating"] for one in (plain, anchored)]
        assert gap[0] == pytest.approx(gap[1])
    assert anchored.board["options"] == {"anchor": "blue", "control": "length"}


def test_an_anchor_without_a_rating_is_told(crowd, vote, look):
    vote("star", "red")
    assert "star has no rating" in look(anchor="star").notes["anchor_unrated"]["text"]


def test_reliability_weighs_a_rater_who_answers_from_habit(vote, look):
    generator = np.random.default_rng(0)
    names = ("red", "blue", "green")
    with vote.together():
        for number in range(160):
            a, b = generator.choice(3, 2, replace=False)
            better = "a" if a < b else "b"
            judge = number % 4
            winner = "a" if judge == 3 else better if generator.random() < 0.9 else {"a": "b", "b": "a"}[better]
            vote(names[a], names[b], winner, judge=f"judge {judge}")
    weighed, plain = look(weights="reliability"), look()
    assert weighed.notes["weights"]["value"] < 0.6
    red = weighed.rows["red"]
    assert red["unweighted"]["rating"] == pytest.approx(plain.rows["red"]["rating"])
    assert red["rating"] > red["unweighted"]["rating"] + 20


def test_slices_by_time_language_and_group(project, vote, look, bob, alice):
    german, _ = prompt_get_or_create(project=project, prompt="Was ist das?")
    type(german).objects.filter(pk=german.pk).update(language="de")
    vote("red", "blue", prompt=german, minute=0)
    vote("red", "blue", minute=60)
    vote("blue", "red", minute=24 * 60)
    assert look(language="de").board["votes"] == 1
    assert look(since="2026-11-02").board["votes"] == 1
    assert look(since="2026-11-01T12:30:00Z", until="2026-11-02T00:00:00Z").board["votes"] == 1
    from feedbackhub.projects.groups import group_set, member_group_set
    from feedbackhub.rating.models import Judgment

    group = group_set(project=project, name="experts")
    assert look(group="experts").board["votes"] == 0
    member_group_set(membership=bob.memberships.get(project=project, role="rater"), group=group)
    first = Judgment.objects.order_by("pk").first()
    Judgment.objects.filter(pk=first.pk).update(rater=bob)
    assert look(group="experts").board["votes"] == 1


def test_a_slice_with_four_votes_says_that_it_is_too_few(vote, look):
    for winner in ("a", "b", "a", "tie"):
        vote("red", "blue", winner, category="maths")
    assert "4 votes" in look(category="maths").notes["few_votes"]["text"]
    assert "few_votes" not in look().notes


def test_a_disconnected_graph_says_how_many_groups_there_are(vote, look):
    for a, b in (("red", "blue"), ("blue", "red"), ("green", "grey"), ("grey", "green")):
        vote(a, b)
    answer = look()
    assert answer.notes["disconnected"]["value"] == 2
    assert "2 groups" in answer.notes["disconnected"]["text"]
    assert answer.board["connected"] is False


def test_a_fit_without_an_answer_is_no_fault_of_the_models(vote, look, client_of, dave):
    for a, b, winner in (("red", "blue", "a"), ("blue", "red", "b"), ("red", "blue", "b"), ("blue", "red", "b")):
        vote(a, b, winner, chars=(50, 10) if a == "red" else (10, 50))
    vote("green", "red", "a", chars=(9, 50))
    answer = look(control="length")
    assert "follows from which models were compared" in answer.notes["undefined"]["text"]
    assert answer.notes["only_wins"]["value"] == "green"
    assert "unconnected" not in answer.notes
    page = client_of(dave).get("/p/kitchen/leaderboard/?control=length").content.decode()
    assert page.count('<span class="badge">not rated</span>') == 2
    assert page.count('<span class="badge">only wins</span>') == 1
    assert 'id="ratings-data"' not in page
    page = client_of(dave).get("/p/kitchen/leaderboard/").content.decode()
    assert 'id="ratings-data"' in page


def test_style_is_length_headers_lists_and_bold_and_what_never_differs_is_left_out(project, vote, look):
    """Bold wins, whoever writes it; headers are in no answer."""
    generator = np.random.default_rng(1)
    models = {name: model_get_or_create_imported(project=project, name=name) for name in ("red", "blue")}
    for number in range(90):
        prompt, _ = prompt_get_or_create(project=project, prompt=f"Question {number}?")
        bold = {name: generator.random() < (0.8 if name == "red" else 0.3) for name in models}
        outputs = [
            Output.objects.create(
                prompt=prompt,
                model=model,
                content_key=f"{number}",
                parts=text_parts(("A **word** " if bold[name] else "A some word") + "x" * int(generator.integers(50))),
            )
            for name, model in models.items()
        ]
        chance = 0.5 + 0.4 * (bold["red"] - bold["blue"])
        winner = "a" if generator.random() < chance else "b"
        vote("red", "blue", winner, prompt=prompt, outputs=outputs)
    vote("red", "blue")
    plain, even = look(), look(control="style")
    assert even.notes["texts_unknown"]["value"] == 1
    assert {note["value"] for note in even.board["notes"] if note["code"] == "feature_left_out"} == {"headers", "lists"}
    effects = {note["feature"]: note for note in even.board["notes"] if note["code"] == "style_coefficient"}
    assert set(effects) == {"length", "bold"}
    assert effects["bold"]["value"] > 2 * effects["bold"]["se"]
    gap = [one.rows["red"]["rating"] - one.rows["blue"]["rating"] for one in (plain, even)]
    assert gap[1] < gap[0] - 20


def test_the_length_board_has_the_notes_it_always_had(crowd, look):
    answer = look(control="length")
    assert set(answer.notes) == {"length_coefficient"}
    assert set(answer.notes["length_coefficient"]) == {"code", "value", "se", "feature_mean", "feature_sd", "text"}


def test_pairs_of_a_ranking_go_together_in_ballots_as_in_tallies(tasks_of_three, project):
    by_tallies = board(project=project)
    by_votes = board(project=project, as_of=datetime(2100, 1, 1, tzinfo=UTC))
    for one, other in zip(by_tallies["rows"], by_votes["rows"], strict=True):
        assert one == pytest.approx(other)
    ballots = ballots_read(project, Options())
    assert len(ballots) == 3 * len(set(ballots.judgment.tolist()))


@pytest.fixture
def tasks_of_three(project, bob):
    """Rankings of three by bob."""
    import uuid

    from feedbackhub.rating.services import judgment_record, task_next, tasks_create

    models = {name: model_get_or_create_imported(project=project, name=name) for name in ("red", "blue", "green")}
    for number in range(6):
        prompt, _ = prompt_get_or_create(project=project, prompt=f"Question {number}?")
        for name, model in models.items():
            parts = text_parts(f"{name} says {number}")
            Output.objects.create(prompt=prompt, model=model, parts=parts, content_key=f"{number}")
    tasks_create(project=project, models=list(models.values()), kind="ranking", outputs_per_task=3)
    turn = 0
    while lease := task_next(project=project, rater=bob):
        shown = [output.pk for output in lease.outputs]
        by_name = sorted(lease.outputs, key=lambda output: output.model.name)
        order = [[output.pk] for output in by_name[turn % 3 :] + by_name[: turn % 3]]
        payload = {"key": str(uuid.uuid4()), "ranking": order, "shown": shown, "duration_ms": 5}
        judgment_record(rater=bob, task=lease.task, payload=payload)
        turn += 1
    assert turn == 6


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ties": "third"}, "ties"),
        ({"cluster": "judge"}, "cluster"),
        ({"method": "elo", "cluster": "rater"}, "cluster"),
        ({"method": "elo", "ties": "davidson"}, "ties"),
        ({"method": "elo", "intervals": "bootstrap"}, "intervals"),
        ({"intervals": "bootstrap", "control": "length"}, "intervals"),
        ({"anchor": "nobody"}, "anchor"),
        ({"language": "tlh"}, "language"),
        ({"group": "nobody"}, "group"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-02", "until": "2026-11-01"}, "until"),
        ({"as_of": "2026-11-02"}, "as_of"),
    ],
)
def test_a_wrong_option_is_named(project, options, named):
    with pytest.raises(DomainError) as refused:
        board_of(project=project, options=Options.read(options))
    assert named in refused.value.fields


def test_what_is_stored_of_options_reads_back(project):
    options = Options(method="elo", since=NOON, as_of=NOON + timedelta(days=1), group="experts")
    assert Options.stored(options.changed) == options
    assert Options().changed == {}
