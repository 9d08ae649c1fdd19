"""Dawid–Skene and the noisy Bradley–Terry: against crowd-kit, and against raters whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene as CrowdKitDawidSkene
from crowdkit.aggregation import NoisyBradleyTerry as CrowdKitNoisyBradleyTerry
from scipy.special import logit

from feedbackhub.stats.dawid_skene import dawid_skene
from feedbackhub.stats.noisy_bradley_terry import Prior, noisy_bradley_terry

pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
NO_PRIOR = Prior(model=0, attentive=0, habitual=0, side=0)


def labelled(accuracies, items=300, labels="abc", seed=0, share=1.0):
    """(rows, truth): raters who give the true label with these probabilities, else any other."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(len(labels), size=items, p=[0.5, 0.3, 0.2])
    rows = []
    for item, true in enumerate(truth):
        for rater, accuracy in enumerate(accuracies):
            if generator.random() < share:
                wrong = (true + generator.integers(1, len(labels))) % len(labels)
                rows.append((item, rater, labels[true if generator.random() < accuracy else wrong]))
    return rows, [labels[true] for true in truth]


def assert_equals_crowd_kit(rows, steps):
    ours = dawid_skene(rows, smoothing=0, tolerance=-1, max_steps=steps)
    kept = set(ours.items)
    shared = pd.DataFrame([row for row in rows if row[0] in kept], columns=["task", "worker", "label"])
    theirs = CrowdKitDawidSkene(n_iter=steps, tol=-1).fit(shared)
    assert ours.posterior == pytest.approx(theirs.probas_.loc[ours.items, ours.labels].to_numpy(), abs=1e-6)
    for one in ours.raters:
        expected = theirs.errors_.loc[one.rater].reindex(ours.labels)[ours.labels].to_numpy().T
        assert one.confusion == pytest.approx(expected, abs=1e-6)
    assert ours.prior == pytest.approx(theirs.priors_[ours.labels].to_numpy(), abs=1e-6)


def test_without_smoothing_dawid_skene_equals_crowd_kit():
    rows, _ = labelled([0.9, 0.8, 0.7, 0.4], items=60, share=0.9)
    assert_equals_crowd_kit(rows, steps=25)


@pytest.mark.data
@pytest.mark.parametrize("name", ["multirater_pandalm.jsonl", "multirater_xsum_factuality.jsonl"])
def test_on_real_raters_it_equals_crowd_kit(name, lines):
    rows = [(row["item_id"], rater, label) for row in lines(name) for rater, label in row["ratings"].items() if label]
    assert_equals_crowd_kit(rows, steps=15)


def test_dawid_skene_finds_who_is_reliable_and_what_is_true():
    accuracies = [0.95, 0.85, 0.7, 0.55, 0.33]
    rows, truth = labelled(accuracies, items=1500)
    found = dawid_skene(rows)
    assert found.converged
    for one in found.raters:
        assert one.accuracy == pytest.approx(accuracies[one.rater], abs=0.04)
        assert one.lower < one.accuracy < one.upper < one.lower + 0.06
        assert one.items == 1500
    right = np.mean([found.label_of(item) == truth[item] for item in range(300)])
    majority = np.mean(
        [max("abc", key=[row[2] for row in rows[5 * i : 5 * i + 5]].count) == truth[i] for i in range(300)]
    )
    assert right > majority


def test_a_rater_of_whom_little_is_known_is_taken_to_be_like_the_others():
    rows, truth = labelled([0.9, 0.9, 0.9], items=200)
    wrong = "b" if truth[0] != "b" else "a"
    rows.append((0, "new", wrong))
    plain, smoothed = (
        next(one for one in dawid_skene(rows, smoothing=smoothing).raters if one.rater == "new") for smoothing in (0, 1)
    )
    assert smoothed.items == plain.items == 1
    assert plain.accuracy + 0.2 < smoothed.accuracy
    assert smoothed.upper - smoothed.lower > 0.6


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no item was judged by two"),
        ([(1, "ann", "a"), (2, "bob", "a"), (3, "eve", "b")], "no item was judged by two"),
        ([(i, r, "ab"[i % 2]) for i in range(4) for r in ("ann", "bob")], "fewer than three raters"),
        ([(i, r, "a") for i in range(4) for r in ("ann", "bob", "eve")], "the same label"),
    ],
)
def test_what_cannot_be_known_is_said(rows, reason):
    found = dawid_skene(rows, labels="ab")
    assert found.raters == []
    assert reason in found.undefined_because


def test_a_label_that_is_not_possible_is_named():
    with pytest.raises(ValueError, match="'c' is not among"):
        dawid_skene([(1, "ann", "c")], labels="ab")


def voted(skills, biases, strengths, votes=400, seed=1):
    generator = np.random.default_rng(seed)
    rows = []
    for rater, (skill, bias) in enumerate(zip(skills, biases)):
        for _ in range(votes):
            first, second = generator.choice(len(strengths), size=2, replace=False)
            by_models = 1 / (1 + np.exp(strengths[second] - strengths[first]))
            first_wins = generator.random() < (by_models if generator.random() < skill else bias)
            rows.append((rater, f"m{first}", f"m{second}", bool(first_wins)))
    return rows


def test_the_noisy_likelihood_is_crowd_kits_and_its_maximum_is_ours():
    rows = voted([0.95, 0.9, 0.5], [0.5, 0.5, 0.9], [0, 1, 2, 3], votes=150)
    # no score at all would leave the model free to run away without any prior; four models keep it bounded here
    ours = noisy_bradley_terry(rows, prior=NO_PRIOR)
    models = sorted(ours.scores)
    place = {name: index for index, name in enumerate(models, start=1)}
    data = np.array([[place[a], place[b], place[a if won else b]] for _, a, b, won in rows])
    raters = np.array([rater for rater, *_ in rows])

    def their_likelihood(scores, biases, skills):
        x = np.concatenate([[0], scores, biases, skills])
        return -CrowdKitNoisyBradleyTerry._compute_log_likelihood(x, data, raters, 4, 3, 0.0)

    by_rater = {one.rater: one for one in ours.raters}
    at_ours = [
        np.array([ours.scores[name] for name in models]),
        logit(np.clip([by_rater[rater].bias for rater in range(3)], 1e-12, 1 - 1e-12)),
        logit(np.clip([by_rater[rater].skill for rater in range(3)], 1e-12, 1 - 1e-12)),
    ]
    assert their_likelihood(*at_ours) == pytest.approx(ours.log_likelihood, abs=1e-6)
    frame = pd.DataFrame(
        [(rater, a, b, a if won else b) for rater, a, b, won in rows], columns=["worker", "left", "right", "label"]
    )
    theirs = CrowdKitNoisyBradleyTerry(n_iter=500).fit(frame)
    at_theirs = [logit(theirs.scores_[models]), logit(theirs.biases_[range(3)]), logit(theirs.skills_[range(3)])]
    assert ours.log_likelihood >= their_likelihood(*at_theirs)
    generator = np.random.default_rng(2)
    for _ in range(50):
        moved = [values + generator.normal(0, 0.05, values.shape) for values in at_ours]
        assert their_likelihood(*moved) <= ours.log_likelihood + 1e-6


def test_noise_and_side_bias_are_found():
    skills, biases = [0.95, 0.8, 0.3, 0.6], [0.5, 0.5, 0.9, 0.1]
    found = noisy_bradley_terry(voted(skills, biases, [0, 1, 2.5, 4], votes=3000))
    assert found.converged
    for one in found.raters:
        assert one.skill == pytest.approx(skills[one.rater], abs=0.08)
        assert one.lower < one.skill < one.upper
        assert one.votes == 3000
    bias = {one.rater: one.bias for one in found.raters}
    assert bias[2] == pytest.approx(0.9, abs=0.05)
    assert bias[3] == pytest.approx(0.1, abs=0.05)
    scores = [found.scores[f"m{place}"] for place in range(4)]
    assert scores == pytest.approx(np.array([0, 1, 2.5, 4]) - 1.875, abs=0.35)


def test_one_vote_says_little_of_a_rater():
    rows = voted([0.95, 0.95], [0.5, 0.5], [0, 2], votes=300)
    found = noisy_bradley_terry([*rows, ("new", "m0", "m1", True)])
    new = found.raters[-1]
    assert (new.rater, new.votes) == ("new", 1)
    assert 0.6 < new.skill < 0.85
    assert new.upper - new.lower > 0.5


def test_without_votes_there_is_no_skill():
    assert noisy_bradley_terry([]).undefined_because == "there are no decided pairs"
