"""What a reward model is worth: accuracy on held-out pairs, by category, margin and length, beside what needs no model.

Pairs of one prompt go together: they share its answers. Intervals are therefore of prompts, not of pairs.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from .. import metrics
from ..data import Pair
from . import baselines

Z = 1.959964  # 95 %
RESAMPLES = 1000
PARTS = 3  # of a range of lengths
LEVELS = 5  # so many different margins stand each for itself
CATEGORIES = 12  # shown each for itself; the smaller ones together
ALIKE = 1.25  # answers whose lengths differ by less than this factor are alike


def report(train: Sequence[Pair], validation: Sequence[Pair], differences: Sequence[float]) -> dict:
    """{accuracy, baselines, slices} of the validation pairs; the shape is in docs/training.md.

    differences: the reward of each pair's chosen answer less that of its rejected one.
    """
    said = {"model": differences, "longer": baselines.longer(validation), "tfidf": baselines.tfidf(train, validation)}
    wins = {name: [win(value) for value in values] for name, values in said.items() if values is not None}
    prompts = [tuple(pair.prompt) for pair in validation]

    def shares(rows: Sequence[int]) -> dict:
        return {name: share([of[row] for row in rows], [prompts[row] for row in rows]) for name, of in wins.items()}

    everything = shares(range(len(validation)))
    beside = {name: everything[name] for name in wins if name != "model"}
    return {
        "accuracy": everything["model"],
        "baselines": {
            name: {"accuracy": found, "difference": difference(wins["model"], wins[name], prompts)}
            for name, found in beside.items()
        },
        "slices": [
            {"by": by, "parts": [{**about, **shares(rows)} for about, rows in parts]}
            for by, parts in slices(validation).items()
        ],
    }


def win(difference: float) -> float:
    """1 where the chosen answer is preferred, ½ where neither is."""
    return 0.5 if difference == 0 else float(difference > 0)


# --- Intervals -------------------------------------------------------------------------------------------------------


def share(wins: Sequence[float], prompts: Sequence[Hashable]) -> dict:
    """{value, lower, upper, n} of a mean of wins, each 0, ½ or 1, whose prompts may come several times.

    Wilson's interval (1927) on the effective number of pairs, n over the design effect of the prompts (Kish 1965; for
    binomial intervals Dean & Pagano 2015, Journal of Survey Statistics and Methodology 3). Where all ended
    alike the effect cannot be seen, and the prompts are counted.
    """
    values, n = np.asarray(wins, dtype=float), len(wins)
    mean = float(values.mean())
    residuals: dict[Hashable, float] = defaultdict(float)
    for value, prompt in zip(values, prompts):
        residuals[prompt] += value - mean
    if values.var() > 0:
        effect = sum(value**2 for value in residuals.values()) / (n * values.var())
        effective = n / max(1.0, effect)
    else:
        effective = len(residuals)
    centre = (mean + Z**2 / (2 * effective)) / (1 + Z**2 / effective)
    half = Z * math.sqrt(mean * (1 - mean) / effective + Z**2 / (4 * effective**2)) / (1 + Z**2 / effective)
    return {"value": mean, "lower": max(0.0, centre - half), "upper": min(1.0, centre + half), "n": n}


def difference(ours: Sequence[float], theirs: Sequence[float], prompts: Sequence[Hashable]) -> dict:
    """{value, lower, upper, n, p_value} of ours − theirs on the same pairs; whole prompts are resampled."""
    number = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    sums = np.zeros((2, len(number), 2))
    for prompt, *pair in zip(prompts, ours, theirs):
        for side, value in enumerate(pair):
            sums[side, number[prompt]] += value, 1
    sides = [metrics.Measured(of, lambda total: total[0] / total[1], of[:, 0]) for of in sums]
    found = metrics.paired_difference(*sides, metrics.resamples(len(number), RESAMPLES, 0))
    return {**found, "n": len(prompts)}


# --- Slices ----------------------------------------------------------------------------------------------------------


def slices(pairs: Sequence[Pair]) -> dict[str, list[tuple[dict, list[int]]]]:
    """{by: [({name} or {low, high}, rows), …]} of every way to slice that gives more than one part.

    category: as the rows say, the largest first, those beyond the twelfth as {name: ""}. margin: as the rows say.
    length: mean characters of the two answers. length_difference: chosen_shorter, alike (less than a fourth apart),
    chosen_longer.
    """
    found = {
        "category": _categories([pair.category for pair in pairs]),
        "margin": _ranges([round(pair.margin, 3) for pair in pairs]),
        "length": _ranges([sum(pair.characters) / 2 for pair in pairs]),
        "length_difference": _differences(pairs),
    }
    return {by: parts for by, parts in found.items() if len(parts) > 1}


def _categories(names: list[str]) -> list[tuple[dict, list[int]]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        rows[name].append(row)
    named = sorted((name for name in rows if name), key=lambda name: (-len(rows[name]), name))
    parts = [({"name": name}, rows[name]) for name in named[:CATEGORIES]]
    rest = sorted(sum((rows[name] for name in named[CATEGORIES:]), rows.get("", [])))
    return [*parts, *([({"name": ""}, rest)] if rest else [])]


def _ranges(values: list[float]) -> list[tuple[dict, list[int]]]:
    """Each value for itself if there are few, else parts of about as many pairs each, by rising value."""
    levels = sorted(set(values))
    if len(levels) > LEVELS:
        bounds = np.quantile(values, [part / PARTS for part in range(1, PARTS)])
        places = np.searchsorted(bounds, values)
    else:
        places = np.array([levels.index(value) for value in values])
    parts = [np.flatnonzero(places == place).tolist() for place in range(int(places.max()) + 1)]
    return [
        ({"low": min(values[row] for row in rows), "high": max(values[row] for row in rows)}, rows)
        for rows in parts
        if rows
    ]


def _differences(pairs: Sequence[Pair]) -> list[tuple[dict, list[int]]]:
    rows: dict[str, list[int]] = {"chosen_shorter": [], "alike": [], "chosen_longer": []}
    for row, pair in enumerate(pairs):
        chosen, rejected = pair.characters
        far = max(chosen, rejected) > ALIKE * min(chosen, rejected)
        rows["alike" if not far else "chosen_longer" if chosen > rejected else "chosen_shorter"].append(row)
    return [({"name": name}, part) for name, part in rows.items() if part]
