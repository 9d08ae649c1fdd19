"""Votes until the ratings' order has a Kendall τ of 0.95 with the truth: pairs chosen actively and pairs at random.

The truth of a file are the Bradley–Terry ratings of all its votes and its share of ties; simulated raters vote by them.
After each batch (2 % of the votes so far, at least 20) all is rated anew and τ is taken.
"""

import gzip
import json
import os
from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import kendalltau

FILES = (
    "battles_llmfao_crowd.jsonl",
    "battles_alpacaeval1_gpt4.jsonl.gz",
    "battles_wildbench_gpt4turbo_derived.jsonl.gz",
)
SEEDS = 20
TAU = 0.95
EXPLORE = 0.1
VOTES_AT_MOST = 500_000
OUTCOMES = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5}


def run() -> list[dict]:
    from tqdm import tqdm

    data = Path(os.environ.get("FEEDBACKHUB_DATA", "../shared/data"))
    rows = []
    for name in FILES:
        truth, ties = _truth(data / name)
        seeds = tqdm(range(SEEDS), desc=name, leave=False)
        votes = np.array([[_votes_needed(truth, ties, explore, seed) for explore in (EXPLORE, 1.0)] for seed in seeds])
        rows.append({"file": name, "models": len(truth), "ties": ties, "seeds": SEEDS, **_compared(*votes.T)})
    return rows


def _compared(active: np.ndarray, chance: np.ndarray) -> dict:
    """Means, and the ratio of the means with its 95 % bootstrap interval over seeds."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(active), (10_000, 2, len(active)))
    ratios = active[draws[:, 0]].mean(axis=1) / chance[draws[:, 1]].mean(axis=1)
    lower, upper = np.quantile(ratios, [0.025, 0.975])
    return {
        "active": float(active.mean()),
        "random": float(chance.mean()),
        "ratio": float(active.mean() / chance.mean()),
        "lower": float(lower),
        "upper": float(upper),
    }


def _truth(path: Path) -> tuple[np.ndarray, float]:
    """(log-odds of the models that can be rated, the share of ties) of a file of battles."""
    from feedbackhub.stats.bradley_terry import bradley_terry
    from feedbackhub.stats.tallies import Tallies

    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        votes = [json.loads(line) for line in lines]
    votes = [vote for vote in votes if vote["winner"] in OUTCOMES]
    place: dict[str, int] = {}
    first, second = ([place.setdefault(vote[side], len(place)) for vote in votes] for side in ("model_a", "model_b"))
    outcomes = np.array([OUTCOMES[vote["winner"]] for vote in votes])
    ratings = bradley_terry(Tallies.of_votes(len(place), np.array(first), np.array(second), outcomes)).rating
    return ratings[np.isfinite(ratings)] * np.log(10) / 400, float((outcomes == 0.5).mean())


def _votes_needed(truth: np.ndarray, ties: float, explore: float, seed: int) -> int:
    from feedbackhub.stats.active import Posterior
    from feedbackhub.stats.tallies import Tallies

    rng = np.random.default_rng(seed)
    wins, drawn = np.zeros((len(truth), len(truth))), np.zeros((len(truth), len(truth)))
    votes = 0
    posterior = Posterior(Tallies(wins, drawn))
    while votes < VOTES_AT_MOST:
        pairs = posterior.next_pairs(max(20, votes // 50), rng, explore=explore)
        first, second = np.array(pairs).T
        tie = rng.random(len(pairs)) < ties
        won = rng.random(len(pairs)) < expit(truth[first] - truth[second])
        np.add.at(wins, (np.where(won, first, second)[~tie], np.where(won, second, first)[~tie]), 1)
        for a, b in ((first, second), (second, first)):
            np.add.at(drawn, (a[tie], b[tie]), 1)
        votes += len(pairs)
        posterior = Posterior(Tallies(wins, drawn))
        if kendalltau(posterior.theta, truth).statistic >= TAU:
            return votes
    return votes
