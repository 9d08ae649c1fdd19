"""What a rating method answers: ratings with errors, intervals, ranks and the reason why a model has none."""

from dataclasses import dataclass, replace

import numpy as np

from feedbackhub.stats.connectivity import OK

MEAN = 1000.0
SCALE = 400 / np.log(10)  # rating points per unit of log-odds: 400 points are odds of ten to one
Z95 = 1.959964


@dataclass(frozen=True, eq=False)
class Ratings:
    """Ratings of M models in rating points; NaN (ranks: 0) for a model whose status is not `ok`.

    `rating`, `se`, `lower`, `upper`: (M,) float64; the rated models' mean is 1000, the interval is 95 %.
    `rank_lower`, `rank_upper`: (M,) int64, the best and the worst rank among the rated that the intervals allow.
    `status`: M words of `feedbackhub.stats.connectivity`. `covariance`: (M, M), points², of the centred ratings.
    `steps`: Newton steps taken.
    """

    rating: np.ndarray
    se: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rank_lower: np.ndarray
    rank_upper: np.ndarray
    status: list[str]
    covariance: np.ndarray
    steps: int

    @classmethod
    def of(
        cls,
        *,
        status: list[str],
        rated: np.ndarray,
        log_odds: np.ndarray,
        covariance: np.ndarray,
        steps: int,
        quantile: float = Z95,
    ) -> "Ratings":
        """From centred log-odds (m,) of the models `rated` (m,) and their covariance (m, m), in units of log-odds.

        The interval is the rating ± `quantile` errors.
        """
        models = len(status)
        rating, all_covariance = np.full(models, np.nan), np.full((models, models), np.nan)
        rating[rated] = MEAN + SCALE * log_odds
        all_covariance[np.ix_(rated, rated)] = SCALE**2 * covariance
        se = np.sqrt(np.maximum(np.diagonal(all_covariance), 0))
        lower, upper = rating - quantile * se, rating + quantile * se
        rank_lower, rank_upper = interval_ranks(lower, upper)
        return cls(rating, se, lower, upper, rank_lower, rank_upper, status, all_covariance, steps)

    def with_intervals(self, lower: np.ndarray, upper: np.ndarray, ranks: tuple | None = None) -> "Ratings":
        """The same ratings with other intervals (M,), and with the ranks (M,), (M,) that these allow unless given."""
        rank_lower, rank_upper = ranks or interval_ranks(lower, upper)
        return replace(self, lower=lower, upper=upper, rank_lower=rank_lower, rank_upper=rank_upper)

    def anchored(self, model: int) -> "Ratings":
        """`model` stands at 1000 and has no error; the others' errors are those of their distance from it.

        Var(θᵢ − θₐ) = Vᵢᵢ + Vₐₐ − 2 Vᵢₐ. Intervals keep their width in errors; ranks, which do not depend on where
        the scale begins, stay as they are. ValueError when the model has no rating.
        """
        if not 0 <= model < len(self.status) or self.status[model] != OK:
            raise ValueError(f"model {model} has no rating to anchor the others at")
        shift = MEAN - self.rating[model]
        own = np.diagonal(self.covariance)
        distance = own + own[model] - 2 * self.covariance[:, model]
        covariance = self.covariance - self.covariance[[model]] - self.covariance[:, [model]] + own[model]
        se = np.sqrt(np.maximum(distance, 0))
        se[model] = 0.0
        width = np.divide(se, self.se, out=np.ones_like(se), where=self.se > 0)
        rating = self.rating + shift
        lower = rating - (self.rating - self.lower) * width
        upper = rating + (self.upper - self.rating) * width
        return replace(self, rating=rating, se=se, lower=lower, upper=upper, covariance=covariance)

    @property
    def connected(self) -> bool:
        """Every model is rated."""
        return all(word == OK for word in self.status)

    def rows(self) -> list[dict]:
        """One dict a model, in index order, None where there is no number: rating, se, lower, upper, rank,
        rank_lower, rank_upper, status. `rank` is `rank_lower`."""
        rows = []
        for model, word in enumerate(self.status):
            row = {name: float(getattr(self, name)[model]) for name in ("rating", "se", "lower", "upper")}
            row["rank"] = row["rank_lower"] = int(self.rank_lower[model])
            row["rank_upper"] = int(self.rank_upper[model])
            rows.append({name: value if word == OK else None for name, value in row.items()} | {"status": word})
        return rows


def interval_ranks(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks that intervals (M,) allow: (rank_lower, rank_upper), (M,) int64; 0 where the bounds are NaN.

    rank_lower = 1 + models whose lower bound is above this one's upper; rank_upper = the number of models with bounds
    − those whose upper bound is below this one's lower.
    """
    has_bounds = ~np.isnan(lower)
    rank_lower = 1 + (lower[None, :] > upper[:, None]).sum(axis=1)
    rank_upper = has_bounds.sum() - (upper[None, :] < lower[:, None]).sum(axis=1)
    return np.where(has_bounds, rank_lower, 0), np.where(has_bounds, rank_upper, 0)
