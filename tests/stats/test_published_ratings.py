"""Ratings of real battles equal the values that other programs computed (six decimals are stored)."""

import numpy as np
import pytest

from feedbackhub.stats.bradley_terry import bradley_terry
from feedbackhub.stats.elo import online_elo
from feedbackhub.stats.intervals import paired_comparison
from feedbackhub.stats.length_control import length_controlled_bradley_terry
from feedbackhub.stats.tallies import Tallies, average_win_rate

pytestmark = pytest.mark.data
FILES = [
    "battles_alpacaeval1_gpt4.jsonl.gz",
    "battles_llmfao_crowd.jsonl",
    "battles_wildbench_gpt4turbo_derived.jsonl.gz",
]


@pytest.fixture(params=FILES)
def battle_file(request, battles):
    return battles(request.param)


def reference_column(battle_file, name):
    by_model = {row["model"]: row[name] for row in battle_file.reference["bradley_terry"]}
    return np.array([by_model[model] for model in battle_file.models])


def test_bradley_terry_ratings_errors_and_ranks(battle_file):
    ratings = bradley_terry(
        Tallies.of_votes(len(battle_file.models), battle_file.a, battle_file.b, battle_file.outcome)
    )
    assert ratings.connected
    assert np.abs(ratings.rating - reference_column(battle_file, "rating")).max() < 1e-6
    assert np.abs(ratings.se - reference_column(battle_file, "se_sandwich")).max() < 1e-6
    # the stored bounds have the rounding of both rating and error in them
    assert np.abs(ratings.lower - reference_column(battle_file, "lower")).max() < 2e-6
    assert np.abs(ratings.upper - reference_column(battle_file, "upper")).max() < 2e-6
    assert ratings.rank_lower.tolist() == reference_column(battle_file, "rank_ci").tolist()


def test_online_elo(battle_file):
    elo = online_elo(len(battle_file.models), battle_file.a, battle_file.b, battle_file.outcome)
    assert np.abs(elo - reference_column(battle_file, "elo_online_k4")).max() < 1e-6


@pytest.mark.parametrize("name", [FILES[0], FILES[2]])
def test_length_controlled_ratings(name, battles):
    file = battles(name)
    fit = length_controlled_bradley_terry(
        len(file.models), file.a, file.b, file.outcome, file.column("chars_a"), file.column("chars_b")
    )
    expected = file.reference["length_controlled_bt"]
    assert fit.feature_mean == pytest.approx(expected["feature_mean"], abs=1e-12)
    assert fit.feature_sd == pytest.approx(expected["feature_sd"], abs=1e-12)
    assert fit.coefficient == pytest.approx(expected["length_coef"], abs=1e-9)
    expected_ratings = np.array([expected["ratings"][model] for model in file.models])
    assert np.abs(fit.ratings.rating - expected_ratings).max() < 1e-6


def test_crowd_scores_of_evalica(battles, lines):
    file = battles(FILES[1])
    golden = {(row["algorithm"], row["model"]): row["score"] for row in lines("published_llmfao_crowd_golden.jsonl")}

    def scores(algorithm):
        return np.array([golden[algorithm, model] for model in file.models])

    tallies = Tallies.of_votes(len(file.models), file.a, file.b, file.outcome)
    assert np.abs(average_win_rate(tallies) - scores("average_win_rate")).max() < 1e-9
    assert np.abs(online_elo(len(file.models), file.a, file.b, file.outcome) - scores("elo")).max() < 1e-6
    log_strength = np.log10(scores("bradley_terry")) * 400
    # the golden strengths come from an iteration that stopped at 1e-6
    difference = bradley_terry(tallies).rating - 1000 - (log_strength - log_strength.mean())
    assert np.abs(difference).max() < 0.01


def test_star_shaped_battles_have_ratings_in_closed_form(battles):
    file = battles(FILES[0])
    tallies = Tallies.of_votes(len(file.models), file.a, file.b, file.outcome)
    hub = file.models.index("text_davinci_003")
    spokes = np.arange(len(file.models)) != hub
    rate = tallies.win_matrix[spokes, hub] / tallies.games[spokes, hub]
    ratings = bradley_terry(tallies).rating
    assert np.allclose(ratings[spokes] - ratings[hub], 400 * np.log10(rate / (1 - rate)), atol=1e-8, rtol=0)


def test_paired_tests_on_shared_prompts(battles):
    file = battles(FILES[0])
    scores = {}
    for row, outcome in zip(file.rows, file.outcome, strict=True):
        if row["model_a"] == "text_davinci_003":
            scores.setdefault(row["model_b"], {})[row["question_id"]] = 1 - outcome
        else:
            scores.setdefault(row["model_a"], {})[row["question_id"]] = outcome
    assert file.reference["paired_tests"]
    for expected in file.reference["paired_tests"]:
        first, second = scores[expected["model_1"]], scores[expected["model_2"]]
        shared = sorted(first.keys() & second.keys())
        paired = paired_comparison([first[prompt] for prompt in shared], [second[prompt] for prompt in shared])
        assert (paired.n, paired.better, paired.worse) == tuple(
            expected[name] for name in ("shared_prompts", "better", "worse")
        )
        assert paired.p_value == pytest.approx(expected["exact_sign_test_p"], rel=1e-9)
        assert paired.difference == pytest.approx(expected["paired_mean_diff"], abs=1e-12)
        assert paired.error == pytest.approx(expected["paired_se"], abs=1e-9)
        assert abs(paired.lower - (paired.difference - 1.96 * paired.error)) < 0.2 * paired.error
        assert abs(paired.upper - (paired.difference + 1.96 * paired.error)) < 0.2 * paired.error
