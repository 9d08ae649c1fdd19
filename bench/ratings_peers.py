"""Run in the peers' environment: PEER TOLERANCE VOTES.npz OUT.json → {seconds, rating, se} in points, mean 1000."""

import json
import sys
import time

import numpy as np

SCALE = 400 / np.log(10)
WARM_UP = 20_000  # votes


def arena_rank(a, b, outcome, models: int, tight: bool):
    """It adds `hessian_reg` × votes to the information, which moves its errors; less than 1e-7 is lost to rounding."""
    import pandas as pd
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    frame = pd.DataFrame({"model_a": a, "model_b": b, "winner": outcome})
    same = {1.0: 1.0, 0.5: 0.5, 0.0: 0.0}
    settings = {"hessian_reg": 1e-7, "ftol": 1e-16, "gtol": 1e-14} if tight else {}

    def rate(part):
        dataset = PairDataset.from_pandas(part, outcome_map=same)
        found = BradleyTerry(models, **settings).compute_ratings_and_cis(dataset)
        return np.asarray(found["ratings"]), np.sqrt(np.asarray(found["variances"]))

    return rate, frame, frame[:WARM_UP]


def evalica(a, b, outcome, models: int, tight: bool):
    from evalica import Winner, bradley_terry

    by = {1.0: Winner.X, 0.5: Winner.Draw, 0.0: Winner.Y}
    lists = [a.tolist(), b.tolist(), [by[y] for y in outcome.tolist()]]
    settings = {"tolerance": 1e-13, "limit": 100_000} if tight else {}

    def rate(part):
        scores = np.log(bradley_terry(*part, **settings).scores.sort_index().to_numpy())
        return 1000 + SCALE * (scores - scores.mean()), None

    return rate, lists, [column[:WARM_UP] for column in lists]


def choix(a, b, outcome, models: int, tight: bool):
    from choix import ilsr_pairwise_dense

    settings = {"tol": 1e-13, "max_iter": 10_000} if tight else {}

    def rate(part):
        one, other, y = part
        size = models * models
        wins = np.bincount(one * models + other, y, size) + np.bincount(other * models + one, 1 - y, size)
        found = ilsr_pairwise_dense(wins.reshape(models, models), **settings)
        return 1000 + SCALE * (found - found.mean()), None

    return rate, (a, b, outcome), (a[:WARM_UP], b[:WARM_UP], outcome[:WARM_UP])


def main() -> None:
    peer, tolerance, votes, out = sys.argv[1:]
    with np.load(votes) as file:
        a, b, outcome = (file[name] for name in ("a", "b", "outcome"))
    makers = {"arena-rank": arena_rank, "evalica": evalica, "choix": choix}
    rate, given, few = makers[peer](a, b, outcome, int(max(a.max(), b.max())) + 1, tolerance == "tight")
    rate(few)
    if peer == "arena-rank":
        rate(given)  # it is compiled for each size
    began = time.perf_counter()
    rating, se = rate(given)
    seconds = time.perf_counter() - began
    with open(out, "w") as file:
        json.dump({"seconds": seconds, "rating": rating.tolist(), "se": se.tolist() if se is not None else None}, file)


if __name__ == "__main__":
    main()
