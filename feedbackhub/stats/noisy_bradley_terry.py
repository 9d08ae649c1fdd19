"""Raters' attention and side bias beside the models' ratings: a Bradley–Terry model with noise.

A rater answers with probability γ from the models, P(first wins) = σ(s_first − s_second), and else from habit alone,
P(first wins) = σ(q), whatever is shown; first is what they saw first. This is crowd-kit's NoisyBradleyTerry, after
Chen, Bennett, Collins-Thompson and Horvitz (2013), "Pairwise ranking aggregation in a crowdsourced setting".
crowd-kit 1.4.2 has the likelihood right and its gradient and the sign of its penalty wrong, so it stops short of the
maximum: tests/stats compares with its likelihood.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from feedbackhub.stats.ratings import Z95

NO_VOTES = "there are no decided pairs"


@dataclass(frozen=True)
class Prior:
    """What is added to the votes, so that nobody of whom little is known is at an end of the scale.

    model: wins and losses of each model against an average one. attentive, habitual: judgments of each rater that come
    surely from the models, or surely from habit (so γ of somebody unknown is 4 / 5). side: judgments out of habit for
    the first, and as many for the second.
    """

    model: float = 0.1
    attentive: float = 4.0
    habitual: float = 1.0
    side: float = 1.0


@dataclass(frozen=True)
class RaterSkill:
    """`skill` is γ with its 95 % likelihood interval, the ratings taken as known; `bias` is σ(q), the chance of the
    first where they answer out of habit (it means little where the skill is near 1); `votes` are their decided pairs.
    """

    rater: Hashable
    votes: int
    skill: float
    lower: float
    upper: float
    bias: float


@dataclass(frozen=True, eq=False)
class NoisyBradleyTerry:
    """`scores`: {model: log-odds}, with mean 0; `raters`, most votes first; `log_likelihood` of the votes alone."""

    scores: dict
    raters: list[RaterSkill]
    log_likelihood: float
    converged: bool
    undefined_because: str | None = None


def noisy_bradley_terry(
    votes: Iterable[tuple[Hashable, Hashable, Hashable, bool]], *, prior: Prior | None = None, max_steps: int = 2000
) -> NoisyBradleyTerry:
    """Fit (rater, first model, second model, whether the first won) rows; ties are not part of the model.

    The likelihood has more than one hill (all could be habit): it is climbed from equal models and attentive raters.
    """
    counts = Counter((rater, first, second, bool(won)) for rater, first, second, won in votes)
    if not counts:
        return NoisyBradleyTerry({}, [], 0.0, True, NO_VOTES)
    prior = prior or Prior()
    raters = list(dict.fromkeys(key[0] for key in counts))
    models = list(dict.fromkeys(model for key in counts for model in key[1:3]))
    table = _Votes.of(counts, raters, models)
    start = np.concatenate([np.zeros(len(models)), np.full(len(raters), np.log(4)), np.zeros(len(raters))])
    found = minimize(
        table.loss,
        start,
        args=(prior,),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps, "maxfun": 2 * max_steps, "ftol": 1e-13, "gtol": 1e-7},
    )
    scores, attention, habit = np.split(found.x, [len(models), len(models) + len(raters)])
    intervals = table.attention_intervals(found.x, prior)
    number = Counter()
    for key, count in counts.items():
        number[key[0]] += count
    skills = [
        RaterSkill(
            rater,
            number[rater],
            float(expit(attention[place])),
            min(intervals[place][0], float(expit(attention[place]))),
            max(intervals[place][1], float(expit(attention[place]))),
            float(expit(habit[place])),
        )
        for place, rater in enumerate(raters)
    ]
    return NoisyBradleyTerry(
        dict(zip(models, (scores - scores.mean()).tolist(), strict=True)),
        sorted(skills, key=lambda one: (-one.votes, str(one.rater))),
        float(table.log_likelihood(found.x)),
        bool(found.success),
    )


@dataclass(frozen=True, eq=False)
class _Votes:
    """V distinct votes: `rater`, `first`, `second` (places), `sign` (1 where the first won, else −1), `count`.

    Parameters x are M scores, then R logits of γ, then R habits q.
    """

    rater: np.ndarray
    first: np.ndarray
    second: np.ndarray
    sign: np.ndarray
    count: np.ndarray
    raters: int
    models: int

    @classmethod
    def of(cls, counts: Counter, raters: list, models: list) -> "_Votes":
        place = {rater: index for index, rater in enumerate(raters)}
        model = {name: index for index, name in enumerate(models)}
        rows = np.array([[place[r], model[a], model[b], 1 if won else -1] for r, a, b, won in counts])
        return cls(*rows.T, np.array(list(counts.values()), dtype=np.float64), len(raters), len(models))

    def _parts(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """(V,) each: probability by the models, by habit, γ, and of the vote altogether."""
        scores, attention, habit = np.split(x, [self.models, self.models + self.raters])
        by_models = expit(self.sign * (scores[self.first] - scores[self.second]))
        by_habit = expit(self.sign * habit[self.rater])
        gamma = expit(attention[self.rater])
        return by_models, by_habit, gamma, gamma * by_models + (1 - gamma) * by_habit

    def log_likelihood(self, x: np.ndarray) -> float:
        return float(self.count @ np.log(self._parts(x)[3]))

    def loss(self, x: np.ndarray, prior: Prior) -> tuple[float, np.ndarray]:
        """Minus the log-likelihood with the prior, and its gradient."""
        by_models, by_habit, gamma, vote = self._parts(x)
        scores, attention, habit = np.split(x, [self.models, self.models + self.raters])
        value = self.count @ np.log(vote)
        value += prior.model * (log_expit(scores) + log_expit(-scores)).sum()
        value += (prior.attentive * log_expit(attention) + prior.habitual * log_expit(-attention)).sum()
        value += prior.side * (log_expit(habit) + log_expit(-habit)).sum()
        slope = self.count * self.sign * gamma * by_models * (1 - by_models) / vote
        of_scores = np.bincount(self.first, slope, self.models) - np.bincount(self.second, slope, self.models)
        of_attention, of_habit = self._rater_slopes(by_models, by_habit, gamma, vote)
        gradient = [
            of_scores + prior.model * (1 - 2 * expit(scores)),
            np.bincount(self.rater, self.count * of_attention, self.raters)
            + prior.attentive
            - (prior.attentive + prior.habitual) * expit(attention),
            np.bincount(self.rater, self.count * of_habit, self.raters) + prior.side * (1 - 2 * expit(habit)),
        ]
        return -value, -np.concatenate(gradient)

    def _rater_slopes(self, by_models, by_habit, gamma, vote) -> tuple[np.ndarray, np.ndarray]:
        """A vote's score with respect to its rater's logit of γ, and to q."""
        attention = gamma * (1 - gamma) * (by_models - by_habit) / vote
        return attention, self.sign * (1 - gamma) * by_habit * (1 - by_habit) / vote

    def attention_intervals(self, x: np.ndarray, prior: Prior) -> list[tuple[float, float]]:
        """Each rater's likelihood interval of γ, with the prior, the scores as they are: where twice the logarithm
        falls short of its most by less than 3.84, with the best q for each γ (γ and q on a grid)."""
        scores, _, habit = np.split(x, [self.models, self.models + self.raters])
        by_models = expit(self.sign * (scores[self.first] - scores[self.second]))
        order = np.argsort(self.rater, kind="stable")
        begins = np.searchsorted(self.rater[order], np.arange(self.raters + 1))
        return [
            _interval(by_models[votes], self.sign[votes], self.count[votes], habit[rater], prior)
            for rater, votes in enumerate(np.split(order, begins[1:-1]))
        ]


GAMMA = np.concatenate([[0.001, 0.004], np.arange(0.01, 1, 0.02), [0.996, 0.999]])
HABIT = np.arange(-5, 5.1, 1.25)


def _interval(
    by_models: np.ndarray, sign: np.ndarray, count: np.ndarray, habit: float, prior: Prior
) -> tuple[float, float]:
    habits = np.append(HABIT, habit)
    by_habit = expit(sign[:, None] * habits)
    best = np.full(len(GAMMA), -np.inf)
    of_habit = prior.side * (log_expit(habits) + log_expit(-habits))
    for place, gamma in enumerate(GAMMA):
        vote = gamma * by_models[:, None] + (1 - gamma) * by_habit
        best[place] = (count @ np.log(vote) + of_habit).max()
    best += prior.attentive * np.log(GAMMA) + prior.habitual * np.log1p(-GAMMA)
    short = best.max() - best - Z95**2 / 2
    inside = np.flatnonzero(short <= 0)
    return _crossing(short, inside[0], inside[0] - 1, 0.0), _crossing(short, inside[-1], inside[-1] + 1, 1.0)


def _crossing(short: np.ndarray, inside: int, outside: int, end: float) -> float:
    """γ where `short` passes zero between two neighbours of the grid; `end` where the grid ends before."""
    if not 0 <= outside < len(GAMMA):
        return end
    share = short[inside] / (short[inside] - short[outside])
    return float(GAMMA[inside] + share * (GAMMA[outside] - GAMMA[inside]))
