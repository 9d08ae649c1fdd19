"""What came of a suite of the project's own: items that pass or fail, shares with intervals, what changed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from feedbackhub.runs.directory import rows_read
from feedbackhub.stats.intervals import bootstrap_mean, paired_comparison, wilson_interval

from .models import EvaluationRun, ItemResult, Result, SuiteItem, SuiteVersion
from .own_suites import rules_of
from .reasons import RIGHT_ANSWER, reason
from .rules import Answered, broken
from .suite_reading import stored

PASSED = "passed"
RULE, TAG = "rule:", "tag:"
CHUNK = 500


def results_store(*, part: EvaluationRun, suite: SuiteVersion) -> None:
    """Judge what a run has written; doing it twice does it once. The caller holds the evaluation."""
    items = {item.pk: item for item in suite.items.filter(example=False)}
    read = _ruled if suite.kind == SuiteVersion.Kind.RULES else _scored
    found = list(read(part, suite, items))
    for result in found:
        result.scores |= _marks(suite, result)
    ItemResult.objects.filter(part=part).delete()
    ItemResult.objects.bulk_create(found, batch_size=CHUNK)
    shares = {
        name: _share(list(values.values()))
        for name, values in by_metric((one.item_id, one.scores) for one in found).items()
    }
    if suite.kind == SuiteVersion.Kind.RULES:
        metrics = shares
    else:
        metrics = dict((part.run.result or {}).get("metrics", {}))
        for name, share in shares.items():
            all_alike = name in metrics and metrics[name]["lower"] == metrics[name]["upper"]
            if name.startswith(TAG) or all_alike:
                metrics[name] = share
    Result.objects.filter(evaluation=part.evaluation_id, model=part.model_id).delete()
    Result.objects.bulk_create(
        Result(evaluation_id=part.evaluation_id, model_id=part.model_id, metric=name, **_fields(measured))
        for name, measured in metrics.items()
        if measured["value"] is not None
    )


def _fields(measured: dict) -> dict:
    return {name: measured.get(name) for name in ("value", "lower", "upper", "n")}


def _share(values: list[float]) -> dict:
    """A mean of 0…1 as {value, lower, upper, n} in percent, with its bootstrap interval over items.

    Where all pass, or all fail, resampling finds no doubt at all, however few they are: there it is Wilson's.
    """
    if set(values) in ({0.0}, {1.0}):
        lower, upper = wilson_interval(sum(values), len(values))
        return {"value": 100 * values[0], "lower": 100 * lower, "upper": 100 * upper, "n": len(values)}
    value, lower, upper = bootstrap_mean([100 * value for value in values], resamples=1000)
    return {"value": value, "lower": lower, "upper": upper, "n": len(values)}


def _ruled(part: EvaluationRun, suite: SuiteVersion, items: dict[int, SuiteItem]) -> Iterable[ItemResult]:
    answers: dict[int, dict] = defaultdict(dict)
    seeds: dict = {}
    for row in rows_read(part.run.directory / "answers.jsonl"):
        item, _mark, variant = str(row["id"]).rpartition("#")
        place = int(variant), row.get("index", 0)
        answers[int(item)][place] = Answered(stored(row["text"]), row.get("similarity"))
        seeds[int(item), place] = row.get("seed")
    slow: Counter = Counter()
    for key, given in answers.items():
        if key not in items:
            continue
        item, failed, where = items[key], {}, defaultdict(list)
        for rule in rules_of(suite, item):
            why, places = broken(rule, given, item.data.get("references", []), slow)
            if why:
                failed[rule["name"]] = why
                for place in places:
                    where[place].append(rule["name"])
        texts = [
            {
                "text": one.text,
                "variant": place[0],
                "sample": place[1],
                "seed": seeds[key, place],
                "failed": where[place],
            }
            for place, one in sorted(given.items())
        ]
        yield ItemResult(part=part, item=item, passed=not failed, failed=stored(failed), answers=texts)


def _scored(part: EvaluationRun, suite: SuiteVersion, items: dict[int, SuiteItem]) -> Iterable[ItemResult]:
    """Questions of a task: right or wrong by its first metric."""
    for row in rows_read(part.run.directory / "scores.jsonl"):
        if row.get("id") not in items:
            continue
        scores = {name: value for name, value in row.items() if isinstance(value, float)}
        passed = row.get("passed", scores.get("acc", scores.get("exact_match", 0.0)) >= 1)
        right = stored(str(row.get("right", "")))
        text = {"text": stored(str(row.get("text", ""))), "prompt": stored(str(row.get("prompt", ""))), "right": right}
        text |= {"taken": stored(str(row["taken"]))} if "taken" in row else {}
        why = reason("code_fails", error=stored(row["why"])) if row.get("why") else reason("not_this", texts=[right])
        failed = {} if passed else {RIGHT_ANSWER: why}
        yield ItemResult(part=part, item=items[row["id"]], passed=passed, failed=failed, scores=scores, answers=[text])


def _marks(suite: SuiteVersion, result: ItemResult) -> dict[str, float]:
    """{metric: 1 or 0}: all rules together, each rule that holds for the item, each of its tags."""
    rules = [rule for rule in rules_of(suite, result.item) if _applies(rule, result)]
    return {
        PASSED: float(result.passed),
        **{RULE + rule["name"]: float(rule["name"] not in result.failed) for rule in rules},
        **{TAG + tag: float(result.passed) for tag in result.item.tags},
    }


def by_metric(rows: Iterable[tuple[int, dict]]) -> dict[str, dict[int, float]]:
    """{metric: {item: value}} of rows (item, scores), such as `scores_of` gives."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for item, scores in rows:
        for name, value in scores.items():
            found[name][item] = value
    return dict(found)


def scores_of(part: EvaluationRun) -> dict[str, dict[int, float]]:
    """{metric: {item: value}} of what a model was measured to do."""
    return by_metric(part.items.order_by("item__position").values_list("item", "scores"))


def _applies(rule: dict, result: ItemResult) -> bool:
    """Whether a rule could be judged: consistency needs two answers that differ in what it looks at."""
    if rule["kind"] != "consistent":
        return True
    what = "variant" if rule["over"] == "paraphrases" else "sample"
    return len({answer[what] for answer in result.answers}) > 1


def questions_of(part: EvaluationRun) -> dict[str, dict[str, float]]:
    """The same of the questions of the suite forgetting, which are no items here: {"accuracy": {question: 1 or 0}}."""
    path = part.run.directory / "scores.jsonl"
    rows = rows_read(path) if path.is_file() else ()
    return by_metric((row["id"], {"accuracy": row["accuracy"] / 100}) for row in rows if "accuracy" in row)


def differences_store(*, parts: list[EvaluationRun], baseline_of: Callable, scores_of: Callable = scores_of) -> None:
    """Each model's metrics less its baseline's, resampled item by item; once all parts of the evaluation have ended."""
    models = [part.model for part in parts]
    values = {part.model_id: scores_of(part) for part in parts}
    for part in parts:
        baseline = baseline_of(part.model, models)
        if baseline is None:
            continue
        differences = {}
        for name, ours in values[part.model_id].items():
            theirs = values[baseline.pk].get(name, {})
            shared = sorted(set(ours) & set(theirs))
            if shared:
                pair = [[100 * side[item] for item in shared] for side in (ours, theirs)]
                found = paired_comparison(*pair, resamples=1000)
                interval = {"value": found.difference, "lower": found.lower, "upper": found.upper}
                differences[name] = {**interval, "n": found.n, "p_value": found.p_value}
        EvaluationRun.objects.filter(pk=part.pk).update(differences=differences)
