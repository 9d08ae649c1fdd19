"""Several datasets in one SFT round, each with its weight: a mixture of tasks (training/loop/mixture.py draws them)."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _

from feedbackhub.catalog.models import Split
from feedbackhub.core.errors import DomainError

from .models import PreferenceDataset

RECIPES = ("sft",)
Weighted = list[tuple[PreferenceDataset, float]]


def mixture_check(recipe: str, mixture: Weighted) -> None:
    """Raise DomainError unless the recipe learns from several datasets, each named once and with a weight above 0."""
    numbers = [dataset.pk for dataset, _weight in mixture]
    if recipe not in RECIPES:
        message = _("Recipe %(recipe)s learns from one dataset; only SFT mixes several.") % {"recipe": recipe}
    elif len(set(numbers)) < len(numbers):
        message = _("A dataset stands in the mixture twice: give it one weight.")
    elif not all(math.isfinite(weight) and weight > 0 for _dataset, weight in mixture):
        message = _("Each weight of a mixture must be a number above 0.")
    else:
        return
    raise DomainError(message, fields={"mixture": message})


def mixture_data(mixture: Weighted) -> list[dict]:
    """run.json's data.mixture."""
    return [
        {
            "name": f"dataset-{dataset.pk}",
            "path": f"data/train-{dataset.pk}.jsonl",
            "weight": weight,
            **({"validation": f"data/validation-{dataset.pk}.jsonl"} if dataset.counts.get("validation") else {}),
        }
        for dataset, weight in mixture
    ]


def mixture_hash(mixture: Weighted) -> str:
    """SHA-256 of the datasets' own hashes and their weights: for the model card."""
    about = [[dataset.content_hash, weight] for dataset, weight in mixture]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def mixture_files(mixture: Weighted) -> dict[str, Iterator[dict]]:
    """The rows of each file that mixture_data names."""
    files = {}
    for dataset, _weight in mixture:
        files[f"data/train-{dataset.pk}.jsonl"] = rows_of(dataset, Split.TRAIN)
        if dataset.counts.get("validation"):
            files[f"data/validation-{dataset.pk}.jsonl"] = rows_of(dataset, Split.VALIDATION)
    return files


def rows_of(dataset: PreferenceDataset, split: str) -> Iterator[dict]:
    """A dataset's rows of a split, as training reads them."""
    found = dataset.rows.filter(split=split).order_by("position").values_list("data", "margin", "prompt__category")
    for data, margin, category in found.iterator(chunk_size=1000):
        known = {"margin": margin, "category": category or None}
        yield {**data, **{name: value for name, value in known.items() if value is not None}}


def files_named(data: dict) -> list[str]:
    """Every file that run.json's data names, those of a mixture too."""
    parts = data.get("mixture", [])
    named = [part[key] for part in parts for key in ("path", "validation") if key in part]
    return [name for name in data.values() if isinstance(name, str)] + named


def together(datasets: list[PreferenceDataset]) -> PreferenceDataset:
    """The counts of several datasets added up, as one that is in no table; of one, that one."""
    if len(datasets) == 1:
        return datasets[0]
    counts: dict = {"sources": Counter()}
    excluded: Counter[str] = Counter()
    for dataset in datasets:
        for name, count in dataset.counts.items():
            if name == "sources":
                counts["sources"].update(count)
            elif isinstance(count, int):
                counts[name] = counts.get(name, 0) + count
        excluded.update(dataset.excluded)
    first = datasets[0]
    return PreferenceDataset(project=first.project, kind=first.kind, counts=counts, excluded=dict(excluded))
