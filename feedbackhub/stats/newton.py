"""Newton's method with a step that is halved until the log-likelihood does not fall."""

from collections.abc import Callable

import numpy as np

TOLERANCE = 1e-10  # of a step, in log-odds: 2e-8 rating points. 1e-12 is below rounding at ten million votes.
MAX_STEPS = 100


class NoMaximumError(ArithmeticError):
    """The likelihood has no finite maximum (its estimates run away), or it lies beyond double precision."""


def maximise(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]], start: np.ndarray
) -> tuple[np.ndarray, int]:
    """Maximise a concave log-likelihood from `start` (n,). Returns (estimates (n,), steps).

    `evaluate(x)` gives the log-likelihood, its gradient (n,) and its information, the negated Hessian (n, n), which
    must be positive definite. Stops when no estimate moves by more than 1e-10 (times the largest estimate, where that
    is above 1). Raises NoMaximumError when that does not come to pass.
    """
    x = np.array(start, dtype=np.float64)
    value, gradient, information = evaluate(x)
    for step in range(1, MAX_STEPS + 1):
        try:
            move = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError as error:
            raise NoMaximumError("the information matrix became singular: an estimate runs to infinity") from error
        size, unit = np.abs(move).max(initial=0.0), max(1.0, np.abs(x).max(initial=0.0))
        if size <= TOLERANCE * unit:
            return x + move, step
        slack = 1e-12 * (1 + abs(value))  # the sum's rounding: near the maximum it hides what a step gains
        for _ in range(40):
            proposal = evaluate(x + move)
            if proposal[0] >= value - slack:
                break
            move = move / 2
        else:
            if size <= 1e-6 * unit:  # as near as rounding allows
                return x, step
            raise NoMaximumError(f"no step from the estimates raises the log-likelihood after {step} Newton steps")
        x, (value, gradient, information) = x + move, proposal
    raise NoMaximumError(f"the estimates still move by {size:.3g} after {MAX_STEPS} Newton steps: they run to infinity")
