"""A judgment's feedbacks are those of the documented mapping."""

import pytest

from feedbackhub.tracing.feedback import feedbacks_of, ranked_scores


def said(kind, runs, **options):
    options = {"none_acceptable": False, "comment": "", **options}
    return [arguments for _, arguments in feedbacks_of(judgment_key="k", kind=kind, runs=runs, **options)]


@pytest.mark.parametrize(
    ("tiers", "scores"),
    [([0, 1], [1, 0]), ([0, 0], [0.5, 0.5]), ([2, 0, 1], [0, 1, 0.5]), ([0, 1, 1, 2], [1, 0.5, 0.5, 0])],
)
def test_ranks_become_scores_between_one_and_zero(tiers, scores):
    assert ranked_scores(tiers) == pytest.approx(scores)


def test_a_ranked_preference_of_one_output_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        ranked_scores([0])


def test_a_pair_shares_a_group_and_says_who_won(traced_run):
    winner, loser = said("pairwise", [traced_run(tier=0), traced_run(tier=1)], comment="clearer")
    assert (winner["key"], winner["score"], winner["value"]) == ("ranked_preference", 1.0, "win")
    assert (loser["key"], loser["score"], loser["value"]) == ("ranked_preference", 0.0, "loss")
    assert winner["feedback_group_id"] == loser["feedback_group_id"]
    assert winner["comment"] == "clearer"


def test_a_tie_is_half_for_each(traced_run):
    assert [f["score"] for f in said("pairwise", [traced_run(tier=0), traced_run(tier=0)])] == [0.5, 0.5]


def test_both_bad_is_nothing_for_each_with_a_value(traced_run):
    both = said("pairwise", [traced_run(tier=0), traced_run(tier=0)], none_acceptable=True)
    assert [(f["score"], f["value"]) for f in both] == [(0.0, "both_bad")] * 2


def test_thumbs_are_one_or_nothing_and_need_no_group(traced_run):
    up, down = said("thumbs", [traced_run(thumbs=1)]) + said("thumbs", [traced_run(thumbs=-1)])
    assert (up["key"], up["score"], down["score"]) == ("thumbs", 1.0, 0.0)
    assert "feedback_group_id" not in up


def test_each_criterion_is_a_feedback_of_its_own(traced_run):
    feedbacks = said("scores", [traced_run(scores={"clarity": 4, "truth": 2.5})])
    assert [(f["key"], f["score"]) for f in feedbacks] == [("clarity", 4.0), ("truth", 2.5)]


def test_the_same_judgment_run_and_key_have_the_same_id(traced_run):
    run = traced_run(thumbs=1)
    options = {"kind": "thumbs", "runs": [run], "none_acceptable": False, "comment": ""}
    first, again = (list(feedbacks_of(judgment_key="one", **options))[0][0] for _ in range(2))
    other = list(feedbacks_of(judgment_key="two", **options))[0][0]
    assert first == again != other
