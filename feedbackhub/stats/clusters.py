"""Errors where votes are not independent: those of one rater, or about one prompt, go together.

One way: the meat of the sandwich is Σ over clusters of s_g s_gᵀ, s_g the sum of the cluster's scores (Liang and Zeger,
1986), times G / (G − 1). Two ways: V(rater) + V(prompt) − V(rater ∩ prompt), by inclusion and exclusion (Cameron,
Gelbach and Miller, 2011, "Robust inference with multiway clustering", J. Business & Economic Statistics 29, eq. 2.9),
with negative eigenvalues set to zero, as they propose. Intervals use Student's t with G − 1 degrees of freedom, G the
smallest number of clusters of any way (Cameron and Miller, 2015, "A practitioner's guide to cluster-robust inference").
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.special import stdtrit

from feedbackhub.stats.ratings import Z95


def cluster_numbers(values: ArrayLike, n: int, name: str = "cluster") -> np.ndarray:
    """(n,) labels of any kind as numbers from 0. ValueError for another length."""
    values = np.asarray(values)
    if values.shape != (n,):
        raise ValueError(f"{name} is of shape {values.shape}: it must name a cluster for each of the {n} votes")
    return np.unique(values, return_inverse=True)[1]


def crossed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) numbers of the pairs of clusters."""
    return np.unique(one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other, return_inverse=True)[1]


def meat(scores: csr_array, cluster: np.ndarray | None = None, *, corrected: bool = True) -> np.ndarray:
    """(p, p) of scores (n, p): Σ s sᵀ over votes, or over clusters, `corrected` by G / (G − 1)."""
    if cluster is None:
        return (scores.T @ scores).toarray()
    groups = int(cluster.max(initial=-1)) + 1
    sums = csr_array((np.ones(len(cluster)), (cluster, np.arange(len(cluster)))), shape=(groups, len(cluster))) @ scores
    factor = groups / (groups - 1) if corrected and groups > 1 else 1.0
    return factor * (sums.T @ sums).toarray()


def clustered_meat(scores: csr_array, clusters: Sequence[np.ndarray]) -> np.ndarray:
    """The meat for one or two ways of clustering (n,). ValueError for more than two."""
    if len(clusters) == 1:
        return meat(scores, clusters[0])
    if len(clusters) != 2:
        raise ValueError(f"votes are clustered in one or two ways, not {len(clusters)}")
    one, other = clusters
    return meat(scores, one) + meat(scores, other) - meat(scores, crossed(one, other))


def positive(covariance: np.ndarray) -> np.ndarray:
    """The covariance with its negative eigenvalues set to zero; as it is where there are none."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return covariance if not len(values) or values[0] >= 0 else (vectors * np.maximum(values, 0)) @ vectors.T


def quantile(clusters: Sequence[np.ndarray]) -> float:
    """How many errors an interval of 95 % reaches to each side: 1.96 without clusters, else Student's t."""
    if not clusters:
        return Z95
    least = min(int(cluster.max(initial=0)) + 1 for cluster in clusters)
    return float(stdtrit(max(1, least - 1), 0.975))
