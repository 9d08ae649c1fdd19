"""The suite task: tasks in lm-evaluation-harness's local YAML shape, on rows of a local JSONL file.

Fields and numbers are the harness's (0.4.13; `ConfigurableTask`, `TemplateLM._encode_pair`): doc_to_text,
doc_to_choice, doc_to_target, description, target_delimiter, fewshot_delimiter, num_fewshot, output_type, metric_list,
generation_kwargs, repeats, filter_list.
Python in a task (`!function`) is not run; what well-known tasks have of it is built in (KNOWN).
"""

from pathlib import Path

from ... import data
from ...config import EvaluateSettings
from ...directory import RunDirectory
from ...endpoint import asks_endpoint
from ...errors import TrainingError
from ..measuring import report_rows
from .filters import filters_check
from .programs import CODE_METRICS, k_of
from .questions import functions_check, questions_of
from .writing import samples_of, written

OFTEN = {"multiple_choice": ("acc", "acc_norm"), "generate_until": ("exact_match",)}
MEASURES = {"multiple_choice": ("acc", "acc_norm", "acc_bytes", "f1", "mcc"), "generate_until": ("exact_match", "f1")}


def task(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """Measure data.rows by the task in data.task: a .yaml file, or a .jsonl of one row that holds the same fields.

    data.fewshot: rows to take examples from, the first ones. scores.jsonl: a row a question.
    """
    config = task_checked(_config(run, data.data_file(spec, "task")))
    name = data.data_file(spec, "rows")
    rows = [row for _, row in data.read_rows(run.path, name)]
    data.need_rows(rows, name, "there is no question.")
    examples = []
    count = config.get("num_fewshot", 0) if settings.num_fewshot is None else settings.num_fewshot
    if count:
        few = data.data_file(spec, "fewshot")
        examples = [row for _, row in data.read_rows(run.path, few)][:count]
        if len(examples) < count:
            raise TrainingError("empty_data", f"{few} has {len(examples)} rows; {count} examples are asked for.")
    questions = questions_of(config, rows, examples, name)
    if config["code"]:
        from .sandbox import sandbox_check

        k_of(config, samples_of(config, settings))
        sandbox_check()
    if asks_endpoint(spec):
        return _by_endpoint(run, spec, settings, config, questions)
    from ..measuring import Asked

    asked = Asked(run, spec, settings)
    if config["output_type"] == "multiple_choice":
        from .choosing import chosen

        measured, kept = chosen(asked, config, questions)
    else:
        from .writing import continued

        measured, kept = written(run, settings, config, questions, continued(asked))
    result = report_rows(run, settings, measured, kept)
    return {**result, "base_path": asked.base.path, **asked.reuse.told()}


def _by_endpoint(run: RunDirectory, spec: dict, settings: EvaluateSettings, config: dict, questions: list) -> dict:
    if config["output_type"] == "multiple_choice":
        message = (
            "This task chooses the likeliest answer by log-likelihoods, which an endpoint does not tell. Measure a "
            "model whose weights are here, or write the task as generate_until."
        )
        raise TrainingError("no_likelihoods", message)
    from ...endpoint_answers import continued

    measured, kept = written(run, settings, config, questions, continued(run, spec, settings))
    return report_rows(run, settings, measured, kept)


def _config(run: RunDirectory, name: str) -> dict:
    if not name.endswith((".yaml", ".yml")):
        return next(iter(data.read_rows(run.path, name)))[1]
    try:
        return yaml_read((run.path / name).read_text(encoding="utf-8"), Path(name).name)
    except OSError as error:
        raise TrainingError("bad_data", f"The task {run.path / name} cannot be read: {error.strerror}.") from None


def yaml_read(text: str, name: str) -> dict:
    """A task's YAML, with `!function x` as the text "!function x". Raises TrainingError (`bad_data`)."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: f"!function {loader.construct_scalar(node)}")
    try:
        found = yaml.load(text, Loader)  # noqa: S506 – a SafeLoader
    except yaml.YAMLError as error:
        raise TrainingError("bad_data", f"{name} is not YAML: {error}") from None
    if not isinstance(found, dict):
        raise TrainingError("bad_data", f"{name} must hold the fields of one task.")
    return found


def task_checked(config: dict) -> dict:
    """The task with the harness's defaults. Raises TrainingError (`bad_data`) telling what cannot be done, and why.

    `code`: whether it runs what a model wrote. `measures`: the names of its metrics, without k of pass@k.
    """

    def wrong(what: str) -> TrainingError:
        return TrainingError("bad_data", f"task {config.get('task', '')!r}: {what}")

    if "include" in config:
        raise wrong(f"it includes {config['include']!r}; write its fields into this file.")
    kind = config.get("output_type", "generate_until")
    if kind not in MEASURES:
        raise wrong(f"output_type {kind!r} is none of {', '.join(MEASURES)}.")
    listed = [one if isinstance(one, dict) else {"metric": one} for one in config.get("metric_list") or []]
    wanted = [str(measure.get("metric")) for measure in listed]
    code = any(name in CODE_METRICS for name in wanted)
    if code and (kind != "generate_until" or len(wanted) > 1):
        raise wrong("pass@k stands alone, in a task of output_type generate_until.")
    functions_check(config, wrong)
    if config.get("gen_prefix"):
        raise wrong("gen_prefix is not available; end doc_to_text with it.")
    filters_check(config, wrong, code=code)
    if unknown := [name for name in wanted if not code and name not in MEASURES[kind]]:
        raise wrong(f"metric {', '.join(unknown)} is none of {', '.join(MEASURES[kind])} of {kind}.")
    for key in ("doc_to_text", "doc_to_target", *(["doc_to_choice"] if kind == "multiple_choice" else [])):
        if config.get(key) is None:
            raise wrong(f"it has no {key}.")
    known = {"target_delimiter": " ", "fewshot_delimiter": "\n\n", "description": "", "num_fewshot": 0, "repeats": 1}
    measures = ["pass"] if code else list(dict.fromkeys([*OFTEN[kind], *wanted]))
    return {**known, **config, "output_type": kind, "metric_list": listed, "measures": measures, "code": code}
