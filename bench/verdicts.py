"""Simulated A/Bs looked at after every vote: how often the verdict errs where there is nothing to find, and how right
"votes still needed" is. No database: the statistics alone.
"""

import os

import numpy as np
from scipy.special import betaln

from feedbackhub.stats.anytime import ALPHA, MAX_VOTES
from feedbackhub.stats.compare import compare, design_effect
from feedbackhub.stats.votes_needed import FUTURES, _times, log_capital_approximate, votes_needed

QUICK = bool(os.environ.get("BENCH_QUICK"))
TIES = (0.0, 0.2, 0.5)
LOOKS = (25, 50, 100, 200, 400)  # votes at which the forecast is made
RATES = (0.5, 0.53, 0.56, 0.6, 0.65, 0.7)
EQUIVALENCE = 0.05
POPULATIONS = {"any two models": 1.3, "tuned and parent": 20}  # Beta(k, k) of the share of wins among decisive votes
WITHIN = 1.5


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
    """The forecast at each look of A/Bs that are not settled, over how many votes it then took.

    By the true win rate, beside what one would say who knew it or who knew which win rates there are; and of A/Bs whose
    win rates are drawn, by the votes there were.
    """
    rng = np.random.default_rng(seed)
    by_rate = {rate: _asked(rng, [rate] * repeats, longest, ties, known=True) for rate in RATES}
    rows = [_ratio_row(f"forecast, win rate {rate}", found) for rate, found in by_rate.items()]
    everything = sum(by_rate.values(), [])
    rows.append(_ratio_row("forecast, all", everything))
    for name, spread in POPULATIONS.items():
        rates = 0.5 + (rng.beta(spread, spread, len(RATES) * repeats) - 0.5) * (1 - ties)
        found = _asked(rng, rates, longest, ties)
        rows.append(_ratio_row(f"forecast, {name}", found))
        rows += [_ratio_row(f"forecast, {name}, at {at}", [one for one in found if one["look"] == at]) for at in LOOKS]
    return rows


def missed(rows: list[dict]) -> list[str]:
    found = [
        f"{row['what']}: {row['share']:.1%} of null A/Bs" for row in rows if "share" in row and row["share"] > ALPHA
    ]
    drawn = [f"forecast, {name}" for name in ("all", *POPULATIONS)]
    return found + [
        f"{row['what']}: {row['median_ratio']:.2f} times what it took, in the median"
        for row in rows
        if row["what"] in drawn and not 1 / WITHIN <= row["median_ratio"] <= WITHIN
    ]


def _asked(rng: np.random.Generator, rates, longest: int, ties: float, *, known: bool = False) -> list[dict]:
    """{look, ratio, total, held, known?, best?}: of each forecast of one A/B a win rate."""
    found = []
    for rate in rates:
        wins, losses, tied = _walk(rng, longest, rate, ties)
        settled = _settled(wins, losses, tied)
        took = int(settled.argmax()) + 1 if settled.any() else longest
        for look in (one for one in LOOKS if one < took):
            counts = [int(part[look - 1]) for part in (wins, losses, tied)]
            said, left = votes_needed(*counts, equivalence=EQUIVALENCE), took - look
            if not said.lower:  # settled, to the digit, though the walk's own approximation says not yet
                continue
            one = {
                "look": look,
                "ratio": (said.median or MAX_VOTES) / left,
                "total": (look + (said.median or MAX_VOTES)) / took,
            }
            one["held"] = said.lower <= left <= (said.upper or np.inf)
            if known:
                share = (rate - ties / 2) / (1 - ties)
                said = votes_needed(*counts, equivalence=EQUIVALENCE, share=share, seed=look)
                one["known"] = (said.median or MAX_VOTES) / left
                one["best"] = _best(counts, ties, np.random.default_rng(look)) / left
            found.append(one)
    return found


def _best(counts: list[int], ties: float, rng: np.random.Generator) -> float:
    """What the best forecaster says, who knows that the win rate is one of RATES or its mirror, each as likely.

    No other function of the votes has a smaller mean error of the logarithm.
    """
    shares = (np.array(RATES) - ties / 2) / (1 - ties)
    shares = np.concatenate([shares, 1 - shares])
    likely = counts[0] * np.log(shares) + counts[1] * np.log(1 - shares)
    likely = np.exp(likely - likely.max())
    drawn = rng.choice(shares, size=FUTURES, p=likely / likely.sum())[:, None]
    return min(float(np.median(_times(*counts, ALPHA, EQUIVALENCE, drawn, rng))), MAX_VOTES)


def _ratio_row(what: str, asked: list[dict]) -> dict:
    row = {"what": what, "n": len(asked)}
    if not asked:
        return row
    ratios, totals = (np.array([one[key] for one in asked]) for key in ("ratio", "total"))
    row |= {"median_ratio": float(np.median(ratios)), "median_factor": _factor(ratios)}
    row |= {"of_all_votes": _factor(totals), "range_holds": float(np.mean([one["held"] for one in asked]))}
    if "known" in asked[0]:
        known = np.array([one["known"] for one in asked])
        row |= {"known_ratio": float(np.median(known)), "known_factor": _factor(known)}
        best = np.array([one["best"] for one in asked])
        row |= {"best_ratio": float(np.median(best)), "best_factor": _factor(best)}
    return row


def _factor(ratios: np.ndarray) -> float:
    return float(np.exp(np.median(np.abs(np.log(ratios)))))


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
