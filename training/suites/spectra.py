"""The shape of a model's weights: power laws fitted to the spectra of its matrices, before and after a tuning.

Of a weight matrix W the eigenvalues λ of W Wᵀ have, in a well trained layer, a tail of density λ^−α. Martin and Mahoney
(2021, "Implicit self-regularization in deep neural networks", JMLR 22; 2021, "Predicting trends in the quality of
state-of-the-art neural networks without access to training or testing data", Nature Communications 12, section
"Methods") find α between 2 and 6 in layers that are well trained, above 6 where little was learnt, below 2 where a
layer is over-trained. α comes from Clauset, Shalizi and Newman (2009, "Power-law distributions in empirical data",
SIAM Review 51, equations 3.1 and 3.9): maximum likelihood above each λ_min, and the λ_min with the least
Kolmogorov–Smirnov distance. It is WeightWatcher 0.7's fit; a test holds it to that library's figures.
"""

from collections.abc import Iterator
from statistics import fmean, median

import numpy as np

from ..config import WeightsSettings
from ..directory import RunDirectory

WIDTH_AT_LEAST = 50  # eigenvalues that a fit needs, as in WeightWatcher
OVER_TRAINED, UNDER_TRAINED = 2.0, 6.0
CHANGED_MOST = 5


def weights(run: RunDirectory, spec: dict, settings: WeightsSettings) -> dict:
    """The recipe `weights`; in result.json `spectra`: {matrices, left_out, before, after, changed}.

    base: the model; compared with `before` (likewise a base), else with itself without its adapter, if it has one.
    before, after: {alpha (the mean), median, over_trained, under_trained}; changed: the matrices whose α moved most.
    """
    from ..models import base_of, load_base, merged

    base = base_of(spec)
    run.status("loading", message=f"weights of {base.path}")
    model = load_base(base.path)
    before = None
    if base.adapter:
        before = _exponents(run, model, settings, 0.05, 0.5)
        model = merged(model, base)
    elif spec.get("before"):
        other = base_of({"base": spec["before"]})
        parent = load_base(other.path)
        before = _exponents(run, merged(parent, other) if other.adapter else parent, settings, 0.05, 0.5)
    after = _exponents(run, model, settings, 0.5 if before else 0.05, 0.98)
    if not after:
        run.warn(f"None of the matrices of {base.path} is {WIDTH_AT_LEAST} wide: too small to fit a power law.")
        return {"spectra": None, "metrics": {}, "steps": 0, "rows": 0}
    known = len(list(_matrices(model)))
    spectra = {"matrices": len(after), "left_out": known - len(after), "after": _summary(after)}
    if before:
        moved = sorted(after, key=lambda name: -abs(after[name] - before[name]))[:CHANGED_MOST]
        changed = [{"matrix": name, "before": before[name], "after": after[name]} for name in moved]
        spectra |= {"before": _summary(before), "changed": changed}
    return {"spectra": spectra, "metrics": {}, "steps": len(after), "rows": len(after)}


def _matrices(model) -> Iterator[tuple[str, object]]:
    """(name, weight) of the linear layers wide enough for a fit, but the head (it is often the embedding)."""
    import torch

    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and module is not head and min(module.weight.shape) >= WIDTH_AT_LEAST:
            yield name, module.weight


def _exponents(run: RunDirectory, model, settings: WeightsSettings, start: float, end: float) -> dict[str, float]:
    """{name: α} of the matrices, evenly many of them where there are too many."""
    found = list(_matrices(model))
    if len(found) > settings.matrices:
        found = [found[round(place)] for place in np.linspace(0, len(found) - 1, settings.matrices)]
    exponents = {}
    for number, (name, weight) in enumerate(found):
        run.check_stop()
        progress = start + (end - start) * number / len(found)
        if number % 10 == 0:
            run.status("evaluating", step=number, max_steps=len(found), progress=progress)
        exponents[name] = exponent(eigenvalues(weight))
    return exponents


def eigenvalues(weight) -> np.ndarray:
    """Of W Wᵀ (or Wᵀ W, whichever is smaller), ascending, in fp64; those that are zero but for rounding left out."""
    import torch

    with torch.no_grad():
        wide = weight.detach().to(torch.float64)
        gram = wide @ wide.T if wide.shape[0] <= wide.shape[1] else wide.T @ wide
        found = torch.linalg.eigvalsh(gram).cpu().numpy()
    return found[found > found[-1] * 1e-12]


def exponent(values: np.ndarray) -> float:
    """α of the power law that fits the tail of `values` (ascending, positive) best."""
    values = np.asarray(values, dtype=np.float64)
    logs = np.log(values)
    sums = np.cumsum(logs[::-1])[::-1]
    many = len(values) - np.arange(len(values) - 1)
    with np.errstate(divide="ignore"):
        alphas = 1 + many / (sums[:-1] - many * logs[:-1])
    best, distance = np.nan, np.inf
    for start, alpha in enumerate(alphas):
        if not np.isfinite(alpha):
            continue
        theory = 1 - np.exp((1 - alpha) * (logs[start:] - logs[start]))
        found = np.abs(theory - np.arange(many[start]) / many[start]).max()
        if found < distance:
            best, distance = alpha, found
    return float(best)


def _summary(exponents: dict[str, float]) -> dict:
    values = list(exponents.values())
    return {
        "alpha": fmean(values),
        "median": median(values),  # a few matrices of hardly any tail have an α of twenty
        "over_trained": sum(value < OVER_TRAINED for value in values),
        "under_trained": sum(value > UNDER_TRAINED for value in values),
    }
