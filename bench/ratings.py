"""Ratings with intervals from votes in memory: ours, arena-rank, evalica and choix, on the same votes in one run.

Each gets the votes as it likes them best (that is not timed): we and choix arrays, arena-rank a DataFrame, evalica
lists. arena-rank gives sandwich intervals, as we do; evalica and choix give ratings alone. Peers run once before
(arena-rank on the same votes), so that nothing is compiled while the clock runs; they come at their own tolerance, and
at one with which their numbers are ours to 1e-6 points. Fails where they are not, or where we take more than a fifth of
the fastest that gives intervals.

Needs half a gigabyte for the peers' virtual environment, kept in $FEEDBACKHUB_HOME/peers.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np

from .servers import venv

QUICK = "BENCH_QUICK" in os.environ
MODELS = 50 if QUICK else 200
VOTES = 300_000 if QUICK else 10_000_000
PACKAGES = ("arena-rank==0.1.1", "evalica==0.4.2", "choix==0.4.1")
PEERS = Path(os.environ.get("BENCH_PEERS", "var/peers"))
HERE = Path(__file__).parent
SAME = 1e-6  # rating points
TIMES_FASTER = 5
RIDGE = {"own": 1e-5, "tight": 1e-7}  # arena-rank's, a vote (bench/ratings_peers.py)


def run() -> list[dict]:
    folder = Path(os.environ["FEEDBACKHUB_HOME"])
    a, b, outcome = votes_drawn(VOTES)
    np.savez(folder / "votes.npz", a=a, b=b, outcome=outcome)
    ours, rating, se = _ours(a, b, outcome)
    rows = [ours]
    python = venv(PEERS / "ratings", *PACKAGES) / "python"
    for peer in ("arena-rank", "evalica", "choix"):
        for tolerance in ("own", "tight"):
            made = folder / f"{peer}-{tolerance}.json"
            command = [python, HERE / "ratings_peers.py", peer, tolerance, folder / "votes.npz", made]
            subprocess.run(list(map(str, command)), check=True)
            found = json.loads(made.read_text())
            row = {"what": peer, "tolerance": tolerance, "models": MODELS, "votes": VOTES, "seconds": found["seconds"]}
            row["points_apart"] = float(np.abs(np.array(found["rating"]) - rating).max())
            row["se_apart"] = row["se_apart_with_its_ridge"] = ""
            if found["se"]:
                theirs = np.array(found["se"])
                row["se_apart"] = float(np.abs(theirs - se).max())
                ridged = _se_with_ridge(a, b, outcome, rating, RIDGE[tolerance] * VOTES)
                row["se_apart_with_its_ridge"] = float(np.abs(theirs - ridged).max())
            rows.append(row)
    _check(rows)
    return rows


def _check(rows: list[dict]) -> None:
    for row in rows:
        if row["tolerance"] == "tight":
            assert row["points_apart"] < SAME, row
            assert row["se_apart_with_its_ridge"] == "" or row["se_apart_with_its_ridge"] < SAME, row


def missed(rows: list[dict]) -> list[str]:
    fastest = min(row["seconds"] for row in rows[1:] if row["se_apart"] != "")
    if rows[0]["seconds"] * TIMES_FASTER <= fastest:
        return []
    return [f"{fastest / rows[0]['seconds']:.1f} times as fast as who else gives intervals, not {TIMES_FASTER}"]


def votes_drawn(votes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    strength = rng.normal(0, 0.7, MODELS)
    a = rng.integers(MODELS, size=votes)
    b = (a + rng.integers(1, MODELS, size=votes)) % MODELS
    won = rng.random(votes) < 1 / (1 + np.exp(strength[b] - strength[a]))
    return a, b, np.where(rng.random(votes) < 0.15, 0.5, won.astype(float))


def _ours(a: np.ndarray, b: np.ndarray, outcome: np.ndarray) -> tuple[dict, np.ndarray, np.ndarray]:
    from feedbackhub.stats.bradley_terry import bradley_terry
    from feedbackhub.stats.tallies import Tallies

    bradley_terry(Tallies.of_votes(MODELS, a[:100_000], b[:100_000], outcome[:100_000]))
    began = time.perf_counter()
    found = bradley_terry(Tallies.of_votes(MODELS, a, b, outcome))
    took = time.perf_counter() - began
    row = {"what": "FeedbackHub", "tolerance": "own", "models": MODELS, "votes": VOTES, "seconds": took}
    return {**row, "points_apart": 0.0, "se_apart": 0.0}, found.rating, found.se


def _se_with_ridge(a, b, outcome, rating: np.ndarray, ridge: float) -> np.ndarray:
    """Our errors, were `ridge` added to the information as arena-rank does, instead of centring."""
    from feedbackhub.stats.bradley_terry import _laplacian, _meat
    from feedbackhub.stats.ratings import SCALE
    from feedbackhub.stats.tallies import Tallies

    tallies = Tallies.of_votes(MODELS, a, b, outcome)
    theta = (rating - 1000) / SCALE
    p = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
    bread = np.linalg.inv(_laplacian(tallies.games * p * (1 - p)) + ridge * np.eye(MODELS))
    return SCALE * np.sqrt(np.diagonal(bread @ _meat(theta, tallies) @ bread))
