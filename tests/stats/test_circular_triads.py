"""Circular triads: Kendall and Babington Smith's own numbers, by hand, by chance; and streaks."""

from itertools import combinations

import numpy as np
import pytest

from feedbackhub.stats.circular_triads import circular_triads
from feedbackhub.stats.streaks import streak_chance


def beats(*pairs, models):
    wins = np.zeros((models, models))
    for winner, loser in pairs:
        wins[winner, loser] += 1
    return wins


def test_three_in_a_circle():
    found = circular_triads(beats((0, 1), (1, 2), (2, 0), models=3))
    assert (found.triads, found.circular, found.consistency, found.cycles) == (1, 1, 0, [(0, 1, 2)])


def test_a_straight_order_is_wholly_consistent():
    found = circular_triads(beats(*combinations(range(6), 2), models=6))
    assert (found.triads, found.circular, found.consistency, found.cycles) == (20, 0, 1, [])
    assert found.expected == 5


@pytest.mark.parametrize(("models", "most"), [(3, 1), (4, 2), (5, 5), (6, 8), (7, 14), (8, 20)])
def test_the_most_circular_triads_are_those_of_the_table(models, most):
    # Kendall, "Rank correlation methods", 4th ed., ch. 11: (n³ − n) / 24 for odd n, (n³ − 4n) / 24 for even n
    pairs = []
    for a, b in combinations(range(models), 2):
        forwards = (b - a) % models
        pairs.append((a, b) if forwards * 2 <= models else (b, a))
    found = circular_triads(beats(*pairs, models=models), cycles=100)
    assert found.circular == most == len(found.cycles)
    assert found.consistency == pytest.approx(0)


def test_scores_give_the_same_number():
    # d = n(n − 1)(2n − 1) / 12 − ½ Σ a², a the number of others that each is above
    generator = np.random.default_rng(3)
    for _ in range(20):
        n = int(generator.integers(3, 12))
        upper = np.triu(generator.integers(2, size=(n, n)), 1)
        wins = upper + np.tril(1 - upper.T, -1)
        expected = n * (n - 1) * (2 * n - 1) / 12 - (wins.sum(axis=1) ** 2).sum() / 2
        assert circular_triads(wins).circular == expected


def test_chance_makes_a_quarter():
    generator = np.random.default_rng(4)
    upper = np.triu(generator.integers(2, size=(80, 80)), 1)
    found = circular_triads(upper + np.tril(1 - upper.T, -1))
    assert found.expected == found.triads / 4
    assert found.circular == pytest.approx(found.expected, rel=0.02)


def test_the_widest_circle_is_named_first_and_a_draw_decides_nothing():
    wins = np.zeros((6, 6))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        wins[a, b] = 2
    for a, b in ((3, 4), (4, 5), (5, 3)):
        wins[a, b], wins[b, a] = 9, 2
    found = circular_triads(wins)
    assert found.cycles == [(3, 4, 5), (0, 1, 2)]
    assert (found.triads, found.circular, found.consistency) == (2, 2, None)
    assert found.undefined_because == "not every pair of models is decided"
    wins[0, 1] = wins[1, 0] = 1
    assert circular_triads(wins).cycles == [(3, 4, 5)]


def test_without_three_there_is_no_triad():
    found = circular_triads(beats((0, 2), models=3))
    assert (found.models, found.triads, found.consistency) == (2, 0, None)
    assert found.undefined_because.startswith("no three models")
    with pytest.raises(ValueError, match="square"):
        circular_triads(np.zeros((2, 3)))


def test_a_long_run_is_unlikely_where_answers_vary():
    assert streak_chance(20, {"first": 0.5, "second": 0.5}, 100) < 1e-4
    assert streak_chance(5, {"first": 0.5, "second": 0.5}, 100) == 1
    assert streak_chance(20, {"first": 1.0}, 20) == 1
    assert streak_chance(1, {"first": 0.5}, 3) == 1
    assert streak_chance(4, {"first": 0.5}, 3) == 0


def test_the_bound_holds_and_is_near():
    generator = np.random.default_rng(5)
    said = generator.random((20000, 60)) < 0.7
    runs = np.zeros(len(said), dtype=bool)
    for value in (True, False):
        same = (said == value).astype(np.int64)
        for start in range(60 - 18 + 1):
            runs |= same[:, start : start + 18].all(axis=1)
    bound = streak_chance(18, {True: 0.7, False: 0.3}, 60)
    noise = 3 * np.sqrt(bound / len(said))
    assert 0.75 * bound - noise < runs.mean() < bound + noise
