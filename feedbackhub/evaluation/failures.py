"""Error analysis: which items a model fails, by rule and by tag, and what changed since its parent."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import QuerySet

from feedbackhub.core.errors import NotFound
from feedbackhub.stats.intervals import paired_comparison

from .metrics import group_label
from .models import Evaluation, EvaluationRun, ItemResult
from .own_results import PASSED, RULE, TAG, scores_of
from .selectors import Difference, difference_of
from .services import baseline_of

GENERATIONS = 20  # of ancestors that the history looks back on


@dataclass(frozen=True)
class Group:
    """Items that fail for one reason. key: `rule:NAME`, `tag:NAME`, or "" for all. about: what a rule asks."""

    key: str
    failed: list[int]
    total: int
    fixed: list[int] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    about: str = ""

    @property
    def label(self) -> str:
        return group_label(self.key)

    @property
    def name(self) -> str:
        return self.key.partition(":")[2]

    @property
    def is_rule(self) -> bool:
        return self.key.startswith(RULE)


@dataclass(frozen=True)
class Step:
    """A model in the line of rounds: what it fails, and what changed since the one before (None in the first).

    groups: the same of each group of items, by its key; "" is all of them.
    """

    part: EvaluationRun
    failed: int
    total: int
    fixed: int | None = None
    new: int | None = None
    groups: dict[str, "Step"] = field(default_factory=dict)


@dataclass(frozen=True)
class Analysis:
    """A model's failures; `previous` is whom they are compared with, `difference` what that comes to, in points."""

    part: EvaluationRun
    previous: EvaluationRun | None
    difference: Difference | None
    all: Group
    rules: list[Group]
    tags: list[Group]
    history: list[Step]

    @property
    def passed(self) -> int:
        return self.all.total - len(self.all.failed)

    @property
    def table(self) -> list[tuple[str, list[Step | None]]]:
        """(group, each model's step) of the groups in which any of the line fails; the history as a table."""
        keys = dict.fromkeys(key for step in reversed(self.history) for key in step.groups)
        rows = [(key, [step.groups.get(key) for step in self.history]) for key in keys]
        return [(group_label(key), steps) for key, steps in rows if any(step and step.failed for step in steps)]


def part_of(evaluation: Evaluation, model: object) -> EvaluationRun:
    """A model's share of an evaluation, by the model's id or name. Raises NotFound."""
    parts = evaluation.parts.select_related("model", "evaluation__suite_version").order_by("pk")
    found = next((part for part in parts if str(model) in (str(part.model_id), part.model.name)), None)
    if found is None:
        raise NotFound(f'Model "{model}" was not measured in evaluation {evaluation.pk}.')
    return found


def results_of(part: EvaluationRun) -> QuerySet[ItemResult]:
    return part.items.select_related("item").order_by("item__position")


def answers_before(previous: EvaluationRun, results: Iterable[ItemResult]) -> dict[int, ItemResult]:
    """{item: what the model that is compared with made of it} of these results' items."""
    found = previous.items.filter(item__in=[result.item_id for result in results])
    return {result.item_id: result for result in found}


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
    about = {RULE + rule["name"]: _about(rule) for rule in part.evaluation.suite_version.rules}
    groups = [
        _group(key, values, (then if key == "" else before).get(key, {}), about.get(key, ""))
        for key, values in {**passed, **now}.items()
        if key == "" or key.startswith((RULE, TAG))
    ]
    all_of, others = groups[0], [group for group in groups[1:] if group.failed or group.fixed]
    others.sort(key=lambda group: (-len(group.failed), group.key))
    return Analysis(
        part=part,
        previous=previous,
        difference=_difference(part, previous, now, before) if previous else None,
        all=all_of,
        rules=[group for group in others if group.is_rule],
        tags=[group for group in others if not group.is_rule],
        history=_history(part),
    )


def _about(rule: dict) -> str:
    """What a rule asks, as its author wrote it: `length: max 30, unit words`."""
    told = (
        f"{name} {', '.join(f'“{one}”' for one in value[:3])}{', …' if len(value) > 3 else ''}"
        if isinstance(value, list)
        else name
        if isinstance(value, dict) or value is True
        else f"{name} {value}"
        for name, value in rule.items()
        if name not in ("kind", "name") and value is not False
    )
    return f"{rule['kind']}: {', '.join(told)}".rstrip(": ")[:200]


def _difference(part: EvaluationRun, previous: EvaluationRun, now: dict, before: dict) -> Difference | None:
    """What the evaluation's table says where both stand in it; else the same reckoned here."""
    if previous.evaluation_id == part.evaluation_id and PASSED in part.differences:
        return difference_of(PASSED, part.differences[PASSED])
    ours, theirs = now.get(PASSED, {}), before.get(PASSED, {})
    if not (shared := sorted(set(ours) & set(theirs))):
        return None
    found = paired_comparison(*([100 * side[item] for item in shared] for side in (ours, theirs)), resamples=1000)
    interval = {"value": found.difference, "lower": found.lower, "upper": found.upper}
    return difference_of(PASSED, {**interval, "n": len(shared), "p_value": found.p_value})


def _group(key: str, now: dict[int, float], before: dict[int, float], about: str) -> Group:
    failed = [item for item, value in now.items() if value < 1]
    fixed = [item for item, value in now.items() if value >= 1 and before.get(item, 1) < 1]
    new = [item for item in failed if before.get(item, 0) >= 1]
    return Group(key, failed, len(now), fixed, new, about)


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
    steps: list[Step] = []
    before: dict | None = None
    for one in reversed(line):
        now = {
            "" if name == PASSED else name: values
            for name, values in scores_of(one).items()
            if name == PASSED or name.startswith((RULE, TAG))
        }
        groups = {
            key: _step(one, values, None if before is None else before.get(key, {})) for key, values in now.items()
        }
        whole = groups.get("") or Step(one, 0, 0)
        steps.append(Step(one, whole.failed, whole.total, whole.fixed, whole.new, groups))
        before = now
    return steps


def _step(part: EvaluationRun, now: dict[int, float], before: dict[int, float] | None) -> Step:
    failed = sum(value < 1 for value in now.values())
    if before is None:
        return Step(part, failed, len(now))
    turned = [(before[item] >= 1, value >= 1) for item, value in now.items() if item in before]
    return Step(part, failed, len(now), turned.count((False, True)), turned.count((True, False)))


def group_items(part: EvaluationRun, key: str) -> list[ItemResult]:
    """The failing items of a group (`rule:NAME`, `tag:NAME`, "" for all). Raises NotFound for a group that is none."""
    known = scores_of(part)
    name = key or "passed"
    if name not in known or not (key == "" or key.startswith((RULE, TAG))):
        raise NotFound(f'There is no group "{key}" in this evaluation.')
    return list(results_of(part).filter(item__in=[item for item, value in known[name].items() if value < 1]))
