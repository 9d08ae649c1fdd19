"""Error analysis: which items a model fails, by rule and by tag, and what changed since its parent."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import QuerySet

from feedbackhub.core.errors import NotFound

from .models import Evaluation, EvaluationRun, ItemResult
from .own_results import RULE, TAG, scores_of
from .services import baseline_of

GENERATIONS = 20  # of ancestors that the history looks back on


@dataclass(frozen=True)
class Group:
    """Items that fail for one reason. key: `rule:NAME`, `tag:NAME`, or "" for all that fail."""

    key: str
    failed: list[int]
    total: int
    fixed: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.key.partition(":")[2]

    @property
    def is_rule(self) -> bool:
        return self.key.startswith(RULE)


@dataclass(frozen=True)
class Step:
    """A model in the line of rounds: what it fails, and what changed since the one before."""

    part: EvaluationRun
    failed: int
    total: int
    fixed: int | None = None
    new: int | None = None


@dataclass(frozen=True)
class Analysis:
    """A model's failures; `previous` is whom they are compared with."""

    part: EvaluationRun
    previous: EvaluationRun | None
    all: Group
    rules: list[Group]
    tags: list[Group]
    history: list[Step]


def part_of(evaluation: Evaluation, model: object) -> EvaluationRun:
    """A model's share of an evaluation, by the model's id or name. Raises NotFound."""
    parts = evaluation.parts.select_related("model", "evaluation__suite_version").order_by("pk")
    found = next((part for part in parts if str(model) in (str(part.model_id), part.model.name)), None)
    if found is None:
        raise NotFound(f'Model "{model}" was not measured in evaluation {evaluation.pk}.')
    return found


def results_of(part: EvaluationRun) -> QuerySet[ItemResult]:
    return part.items.select_related("item").order_by("item__position")


def previous_of(part: EvaluationRun) -> EvaluationRun | None:
    """The parent's latest measurement on the same version of the suite; else the model it stands beside here."""
    evaluation = part.evaluation
    same = EvaluationRun.objects.filter(evaluation__suite_version=evaluation.suite_version_id, items__isnull=False)
    same = same.select_related("model", "evaluation__suite_version")
    if part.model.parent_id:
        here_first = same.filter(model=part.model.parent_id, evaluation=evaluation).first()
        if found := here_first or same.filter(model=part.model.parent_id).order_by("-pk").first():
            return found
    baseline = baseline_of(part.model, [one.model for one in evaluation.parts.select_related("model").order_by("pk")])
    return same.filter(evaluation=evaluation, model=baseline).first() if baseline else None


def analysis(part: EvaluationRun) -> Analysis | None:
    """The failures of a model on a suite of the project's own; None while there is nothing to look at."""
    now = scores_of(part)
    if not now:
        return None
    previous = previous_of(part)
    before = scores_of(previous) if previous else {}
    passed = {"": now["passed"]} if "passed" in now else {}
    then = {"": before["passed"]} if "passed" in before else {}
    groups = [
        _group(key, values, (then if key == "" else before).get(key, {}))
        for key, values in {**passed, **now}.items()
        if key == "" or key.startswith((RULE, TAG))
    ]
    all_of, others = groups[0], [group for group in groups[1:] if group.failed or group.fixed]
    others.sort(key=lambda group: (-len(group.failed), group.key))
    return Analysis(
        part=part,
        previous=previous,
        all=all_of,
        rules=[group for group in others if group.is_rule],
        tags=[group for group in others if not group.is_rule],
        history=_history(part),
    )


def _group(key: str, now: dict[int, float], before: dict[int, float]) -> Group:
    failed = [item for item, value in now.items() if value < 1]
    fixed = [item for item, value in now.items() if value >= 1 and before.get(item, 1) < 1]
    new = [item for item in failed if before.get(item, 0) >= 1]
    return Group(key, failed, len(now), fixed, new)


def _history(part: EvaluationRun) -> list[Step]:
    """The model's ancestors that were measured on the same version, the oldest first, and the model itself."""
    line, model = [part], part.model
    for _generation in range(GENERATIONS):
        model = model.parent
        if model is None:
            break
        same = EvaluationRun.objects.filter(evaluation__suite_version=part.evaluation.suite_version_id, model=model)
        found = same.filter(items__isnull=False).select_related("model", "evaluation").order_by("-pk").first()
        if found:
            line.append(found)
    steps, before = [], None
    for one in reversed(line):
        now = dict(one.items.values_list("item", "passed"))
        failed = sum(not passed for passed in now.values())
        if before is None:
            steps.append(Step(one, failed, len(now)))
        else:
            turned = Counter((before[item], passed) for item, passed in now.items() if item in before)
            steps.append(Step(one, failed, len(now), turned[False, True], turned[True, False]))
        before = now
    return steps


def group_items(part: EvaluationRun, key: str) -> list[ItemResult]:
    """The failing items of a group (`rule:NAME`, `tag:NAME`, "" for all). Raises NotFound for a group that is none."""
    known = scores_of(part)
    name = key or "passed"
    if name not in known or not (key == "" or key.startswith((RULE, TAG))):
        raise NotFound(f'There is no group "{key}" in this evaluation.')
    return list(results_of(part).filter(item__in=[item for item, value in known[name].items() if value < 1]))
