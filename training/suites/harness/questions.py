"""From the rows of a task to the questions that a model is asked: templates, few-shot examples, right answers."""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import TrainingError

# Python of well-known tasks that is built in: (task, field) → the function that its YAML names.
HELLASWAG = ("hellaswag", "process_docs")
MC2 = ("truthfulqa_mc2", "process_results")
KNOWN = {
    HELLASWAG: "!function utils.process_docs",
    MC2: "!function utils.process_results_mc2",
    ("mnli", "doc_to_text"): "!function utils.doc_to_text",
    ("copa", "doc_to_text"): "!function utils.doc_to_text",
    ("copa", "doc_to_target"): "!function utils.doc_to_target",
    ("copa", "doc_to_choice"): "!function utils.doc_to_choice",
    ("cb", "f1"): "!function aggregate.cb_multi_fi",
}


@dataclass(frozen=True)
class Question:
    """A row as the model is asked it. gold: the right choices' numbers, or the right texts. row: as it was given."""

    id: object
    contexts: list[str]
    endings: list[str]
    choices: list[str]
    gold: list
    row: dict


def is_known(config: dict, of_task: tuple[str, str]) -> bool:
    """Whether the task asks for this piece of Python, which is built in."""
    task, field = of_task
    given = config.get(field)
    if field == "f1":
        given = next((one.get("aggregation") for one in config["metric_list"] if one.get("metric") == "f1"), None)
    name = str(config.get("task", "")).removeprefix("sglue_").removesuffix("_mismatch")
    return given == KNOWN[of_task] and name == task


def functions_check(config: dict, wrong: Callable[[str], TrainingError]) -> None:
    """Raise what `wrong` makes of Python in a task that is not built in."""
    from .programs import CODE_METRICS

    found = {key: value for key, value in config.items() if str(value).startswith("!function")}
    for one in config.get("metric_list") or []:
        for key, value in one.items() if isinstance(one, dict) else ():
            if str(value).startswith("!function") and value not in CODE_METRICS:
                found[f"{one.get('metric')}: {key}" if key != "metric" else f"metric_list: {value}"] = value
    listed = {**config, "metric_list": [one for one in config.get("metric_list") or [] if isinstance(one, dict)]}
    known = {"f1: aggregation" if field == "f1" else field for task, field in KNOWN if is_known(listed, (task, field))}
    if left := [key for key in found if key not in known]:
        raise wrong(f"Python in a task is not run ({', '.join(left)}): write it as a template, or into the rows.")


def questions_of(config: dict, rows: list[dict], examples: list[dict], file: str = "rows") -> list[Question]:
    """The rows as they are asked, behind the description and the examples."""
    render = _renderer()
    ready = _hellaswag if is_known(config, HELLASWAG) else lambda row: row
    asked = []
    for number, row in enumerate(rows, 1):
        try:
            asked.append(_question(config, render, ready(row), [ready(one) for one in examples], row.get("id", number)))
        except TrainingError:
            raise
        except Exception as error:  # a template may raise anything
            message = f"{file} line {number}: the task's templates do not fit it ({type(error).__name__}: {error})."
            raise TrainingError("bad_data", message) from None
    return asked


def _renderer() -> Callable[[str, dict], str]:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["regex_replace"] = lambda text, pattern, with_: re.sub(pattern, with_, text)
    ready: dict = {}

    def render(template: str, row: dict) -> str:
        if template not in ready:
            ready[template] = environment.from_string(template)
        return ready[template].render(**row)

    return render


def _field(config: dict, render: Callable, row: dict, key: str):
    """A doc_to_… field of a row: a column's value, or what the template gives, as a number or list where it is one."""
    given = config.get(key)
    if isinstance(given, dict):
        return list(given.values())
    if str(given).startswith("!function"):
        return _mnli(row) if config["task"].startswith("mnli") else _copa(row, key)
    if not isinstance(given, str):
        return given
    if given in row:
        return row[given]
    text = render(given, row)
    if text.isdigit() and config.get("doc_to_choice") is not None:
        return int(text)
    if key != "doc_to_text" and len(text) >= 2 and text[0] == "[" and text[-1] == "]":
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError):
            return text
    return text


def _question(config: dict, render: Callable, row: dict, examples: list[dict], id: object) -> Question:
    delimiter, between = config["target_delimiter"], config["fewshot_delimiter"]
    before = render(config["description"], row) if config["description"] else ""
    for example in examples:
        text, target = (_field(config, render, example, key) for key in ("doc_to_text", "doc_to_target"))
        choices = _choices(config, render, example)
        if isinstance(text, int):
            text = choices[text]
        elif isinstance(target, int) and choices:
            target = choices[target]
        before += f"{text}{delimiter}{target[0] if isinstance(target, list) else target}{between}"
    text, target = (_field(config, render, row, key) for key in ("doc_to_text", "doc_to_target"))
    choices = _choices(config, render, row)
    if config["output_type"] != "multiple_choice":
        gold = target if isinstance(target, list) else [choices[target] if choices else target]
        return Question(id, [before + str(text)], [], choices, [str(one) for one in gold], row)
    if isinstance(text, int):  # as in Winogrande: the choices are contexts, the target is what follows each
        return Question(
            id, [before + choice for choice in choices], [f"{delimiter}{target}"] * len(choices), choices, [text], row
        )
    gold = target if isinstance(target, list) else [target]
    gold = [choices.index(one) if isinstance(one, str) and one in choices else one for one in gold]
    if not all(isinstance(one, int) and 0 <= one < len(choices) for one in gold) or not gold:
        raise ValueError(f"the target {target!r} is none of the {len(choices)} choices")
    endings = [delimiter + choice for choice in choices]
    return Question(id, [before + str(text)] * len(choices), endings, choices, gold, row)


def _choices(config: dict, render: Callable, row: dict) -> list[str]:
    found = _field(config, render, row, "doc_to_choice")
    return [] if found is None else [str(choice) for choice in found]


def _hellaswag(row: dict) -> dict:
    """lm_eval/tasks/hellaswag/utils.py: process_docs. A row that has a query stays."""

    def clean(text: str) -> str:
        text = text.strip().replace(" [title]", ". ")
        return re.sub(r"\[.*?\]", "", text).replace("  ", " ")

    if "query" in row:
        return row
    context = row["ctx_a"] + " " + row["ctx_b"].capitalize()
    endings = [clean(ending) for ending in row["endings"]]
    return {
        **row,
        "query": clean(row["activity_label"] + ": " + context),
        "choices": endings,
        "gold": int(row["label"]),
    }


def _mnli(row: dict) -> str:
    """lm_eval/tasks/glue/mnli/utils.py: doc_to_text."""
    hypothesis = row["hypothesis"].strip()
    end = "" if hypothesis.endswith(".") else "."
    return f"{row['premise']}\nQuestion: {hypothesis}{end} True, False or Neither?\nAnswer:"


def _copa(row: dict, key: str) -> str | list[str]:
    """lm_eval/tasks/super_glue/copa/utils.py."""
    choices = [f" {row[name][0].lower()}{row[name][1:]}" for name in ("choice1", "choice2")]
    if key == "doc_to_choice":
        return choices
    if key == "doc_to_target":
        return choices[0] if row["label"] == 0 else choices[1]
    return row["premise"].strip()[:-1] + {"cause": " because", "effect": " therefore"}[row["question"]]
