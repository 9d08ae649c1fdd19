"""Simulated A/Bs looked at after every vote: how often the verdict errs where there is nothing to find, and how right
"votes still needed" is. No database: the statistics alone.
"""

import os

import numpy as np
from scipy.special import betaln

from feedbackhub.stats.anytime import ALPHA
from feedbackhub.stats.compare import compare, design_effect
from feedbackhub.stats.votes_needed import log_capital_approximate, votes_needed

QUICK = bool(os.environ.get("BENCH_QUICK"))
TIES = (0.0, 0.2, 0.5)
LOOKS = (25, 50, 100, 200, 400)  # votes at which the forecast is made
RATES = (0.5, 0.53, 0.56, 0.6, 0.65, 0.7)
EQUIVALENCE = 0.05


def run() -> list[dict]:
    size = {"nulls": 200, "votes": 400} if QUICK else {"nulls": 2000, "votes": 5000}
    count = 60 if QUICK else 2000
    rows = [nulls(ties=ties, **size) for ties in TIES]
    rows += [clustered(nulls=count, prompts=200, per_prompt=3), clustered(nulls=count, prompts=60, per_prompt=10)]
    return rows + forecasts(repeats=10 if QUICK else 300)


def nulls(*, nulls: int, votes: int, ties: float, seed: int = 0) -> dict:
    """A/Bs of two equal models: the share that was ever called better or worse, looked at after every vote."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(nulls):
        wins, losses, _tied = _walk(rng, votes, 0.5, ties)
        # ½ leaves the confidence sequence exactly when the e-value reaches 1/α (tests/stats/test_anytime_valid.py)
        wrong += bool((_log_e(wins, losses) >= -np.log(ALPHA)).any())
    return {"what": f"errs, {ties:.0%} ties", "n": nulls, "votes": votes, "share": wrong / nulls}


def clustered(*, nulls: int, per_prompt: int, prompts: int = 200, seed: int = 1) -> dict:
    """The same with several votes a prompt that agree with each other: counted plainly, and by their design effect."""
    rng = np.random.default_rng(seed)
    plain, scaled = 0, 0
    for _ in range(nulls):
        chance = rng.beta(1, 1, prompts)  # of one prompt's raters preferring A: alike within it, ½ over all
        votes = (rng.random((prompts, per_prompt)) < chance[:, None]).astype(float)
        order = rng.permutation(prompts * per_prompt)
        y, prompt = votes.ravel()[order], np.repeat(np.arange(prompts), per_prompt)[order]
        wins, n = np.cumsum(y), np.arange(1, y.size + 1)
        refuted = np.flatnonzero(_log_e(wins, n - wins) >= -np.log(ALPHA))
        plain += bool(refuted.size)
        # the effect is at least 1: only where the plain count errs can the scaled one
        scaled += any(_verdict_of(prompt[: at + 1], y[: at + 1]) for at in refuted)
    what = f"errs, {per_prompt} votes a prompt, by design effect"
    return {"what": what, "n": nulls, "votes": prompts * per_prompt, "share": scaled / nulls, "plain": plain / nulls}


def _verdict_of(prompts: np.ndarray, y: np.ndarray) -> bool:
    effect = design_effect(zip(prompts.tolist(), y.tolist(), strict=True))
    return bool(_log_e(y.sum() / effect, (1 - y).sum() / effect) >= -np.log(ALPHA))


def forecasts(*, repeats: int, longest: int = 40_000, ties: float = 0.2, seed: int = 2) -> list[dict]:
    """The forecast at each look of A/Bs that are not settled, over how many votes it then took."""
    rng = np.random.default_rng(seed)
    ratios: dict[float, list[float]] = {rate: [] for rate in RATES}
    kept, total = [], []
    for rate in RATES:
        for _ in range(repeats):
            wins, losses, tied = _walk(rng, longest, rate, ties)
            settled = _settled(wins, losses, tied)
            took = int(settled.argmax()) + 1 if settled.any() else None
            for look in (one for one in LOOKS if took and one < took):
                counts = [int(part[look - 1]) for part in (wins, losses, tied)]
                said = votes_needed(*counts, equivalence=EQUIVALENCE)
                if said is None or not said.median:
                    continue
                ratios[rate].append(said.median / (took - look))
                total.append((look + said.median) / took)
                kept.append(said.lower <= took - look <= (said.upper or np.inf))
    rows = [_ratio_row(f"forecast, win rate {rate}", found) for rate, found in ratios.items()]
    everything = np.concatenate(list(ratios.values()))
    rows.append(_ratio_row("forecast, all", everything) | {"share": float(np.mean(kept))})
    rows.append(_ratio_row("forecast of the votes in all", total))
    return rows


def _ratio_row(what: str, ratios) -> dict:
    return {
        "what": what,
        "n": len(ratios),
        "median_ratio": float(np.median(ratios)) if len(ratios) else None,
        "median_factor": float(np.exp(np.median(np.abs(np.log(ratios))))) if len(ratios) else None,
    }


def _walk(rng: np.random.Generator, votes: int, rate: float, ties: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(wins, losses, ties) after each vote."""
    said = rng.choice(3, size=votes, p=[rate - ties / 2, 1 - rate - ties / 2, ties])
    return tuple(np.cumsum(said == kind) for kind in range(3))


def _log_e(wins: np.ndarray, losses: np.ndarray) -> np.ndarray:
    return betaln(0.5 + wins, 0.5 + losses) - betaln(0.5, 0.5) + (wins + losses) * np.log(2)


def _settled(wins: np.ndarray, losses: np.ndarray, ties: np.ndarray) -> np.ndarray:
    counts = [part.astype(float) for part in (wins, losses, ties)]
    n = sum(counts)
    within = (np.abs((counts[0] + counts[2] / 2) / n - 0.5) < EQUIVALENCE) & (n > 200)
    for m in (0.5 - EQUIVALENCE, 0.5 + EQUIVALENCE):
        within &= log_capital_approximate(m, *counts) >= -np.log(ALPHA)
    return within | (_log_e(wins, losses) >= -np.log(ALPHA))


def looked_at(*, votes: int, ties: float, seed: int, every: int = 1) -> list[str]:
    """One null A/B through `compare` itself: its verdicts, in turn."""
    wins, losses, tied = _walk(np.random.default_rng(seed), votes, 0.5, ties)
    return [compare(int(wins[at]), int(losses[at]), int(tied[at])).verdict for at in range(0, votes, every)]
