"""The suite task: tasks in lm-evaluation-harness's local YAML shape, on rows of a local JSONL file.

Fields and numbers are the harness's (0.4.13; `ConfigurableTask`, `TemplateLM._encode_pair`): doc_to_text,
doc_to_choice, doc_to_target, description, target_delimiter, fewshot_delimiter, num_fewshot, output_type, metric_list,
generation_kwargs.
Python in a task (`!function`) is not run; HellaSwag's, which is known, is built in.
"""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from . import data, metrics
from .config import EvaluateSettings
from .directory import RunDirectory
from .errors import TrainingError
from .measuring import Asked, losses, report_rows
from .metrics import Measured

OFTEN = {"multiple_choice": ("acc", "acc_norm"), "generate_until": ("exact_match",)}
MEASURES = {"multiple_choice": ("acc", "acc_norm", "acc_bytes", "f1", "mcc"), "generate_until": ("exact_match", "f1")}
HELLASWAG = "utils.process_docs"


@dataclass(frozen=True)
class Question:
    """A row as the model is asked it. gold: the right choices' numbers, or the right texts."""

    id: object
    contexts: list[str]
    endings: list[str]
    choices: list[str]
    gold: list


# --- Reading a task --------------------------------------------------------------------------------------------------


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
    asked = Asked(run, spec, settings)
    if config["output_type"] == "multiple_choice":
        measured, kept = _chosen(asked, config, questions)
    else:
        measured, kept = _written(asked, config, questions)
    result = report_rows(run, settings, measured, kept)
    return {**result, "base_path": asked.base.path, **asked.reuse.told()}


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
    """The task with the harness's defaults. Raises TrainingError (`bad_data`) telling what cannot be done, and why."""

    def wrong(what: str) -> TrainingError:
        return TrainingError("bad_data", f"task {config.get('task', '')!r}: {what}")

    listed = config.get("metric_list") or []
    wanted = [measure.get("metric") if isinstance(measure, dict) else measure for measure in listed]
    if config.get("unsafe_code") or "code_eval" in wanted or any("pass_at" in str(one) for one in wanted):
        raise wrong(
            "it runs code that a model wrote (as HumanEval and MBPP do). That needs a sandbox, which is off here."
        )
    if "include" in config:
        raise wrong(f"it includes {config['include']!r}; write its fields into this file.")
    kind = config.get("output_type", "generate_until")
    if kind not in MEASURES:
        raise wrong(f"output_type {kind!r} is none of {', '.join(MEASURES)}.")
    functions = {key: value for key, value in config.items() if str(value).startswith("!function")}
    functions.update({f"metric_list: {one}": one for one in wanted if str(one).startswith("!function")})
    if str(functions.get("process_docs", "")).endswith(HELLASWAG) and config.get("task") == "hellaswag":
        functions.pop("process_docs")
    if functions:
        raise wrong(f"Python in a task is not run ({', '.join(functions)}): write it as a template, or into the rows.")
    if config.get("filter_list"):
        raise wrong("filter_list is not available; ask so that the answer needs no filter.")
    if unknown := [name for name in wanted if name not in MEASURES[kind]]:
        raise wrong(f"metric {', '.join(map(str, unknown))} is none of {', '.join(MEASURES[kind])} of {kind}.")
    for key in ("doc_to_text", "doc_to_target", *(["doc_to_choice"] if kind == "multiple_choice" else [])):
        if config.get(key) is None:
            raise wrong(f"it has no {key}.")
    known = {"target_delimiter": " ", "fewshot_delimiter": "\n\n", "description": "", "num_fewshot": 0}
    always = OFTEN[kind]
    return {**known, **config, "output_type": kind, "measures": list(dict.fromkeys([*always, *wanted]))}


# --- From rows to questions ------------------------------------------------------------------------------------------


def questions_of(config: dict, rows: list[dict], examples: list[dict], file: str = "rows") -> list[Question]:
    """The rows as they are asked, behind the description and the examples."""
    render = _renderer()
    ready = _hellaswag if str(config.get("process_docs", "")).endswith(HELLASWAG) else lambda row: row
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
        return Question(id, [before + str(text)], [], choices, [str(one) for one in gold])
    if isinstance(text, int):  # as in Winogrande: the choices are contexts, the target is what follows each
        return Question(
            id, [before + choice for choice in choices], [f"{delimiter}{target}"] * len(choices), choices, [text]
        )
    gold = target if isinstance(target, list) else [target]
    gold = [choices.index(one) if isinstance(one, str) and one in choices else one for one in gold]
    if not all(isinstance(one, int) and 0 <= one < len(choices) for one in gold) or not gold:
        raise ValueError(f"the target {target!r} is none of the {len(choices)} choices")
    return Question(id, [before + str(text)] * len(choices), [delimiter + choice for choice in choices], choices, gold)


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


# --- Choosing and writing --------------------------------------------------------------------------------------------


def pair_tokens(tokenizer, context: str, ending: str, *, apart: bool = False) -> tuple[list[int], list[int]]:
    """A context and what follows it in tokens, as the harness cuts them; an empty context is the token that begins (or
    else ends) a text. apart: each by itself, for an encoder–decoder."""
    if apart:
        stripped = context.rstrip()
        ending = tokenizer(context[len(stripped) :] + ending, add_special_tokens=False)["input_ids"]
        return tokenizer(stripped)["input_ids"] or [tokenizer.eos_token_id], ending
    if not context:
        first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        ids = tokenizer(ending, add_special_tokens=False)["input_ids"]
        return (ids[:1], ids[1:]) if ids[0] == first else ([first], ids)
    stripped = context.rstrip()
    ending, context = context[len(stripped) :] + ending, stripped
    whole = tokenizer(context + ending)["input_ids"]
    before = len(tokenizer(context)["input_ids"])
    return whole[:before], whole[before:]


def _chosen(asked: Asked, config: dict, questions: list[Question]) -> tuple[dict[str, Measured], list[dict]]:
    rows, cut = [], 0
    for question in questions:
        for context, ending in zip(question.contexts, question.endings):
            before, after = pair_tokens(asked.tokenizer, context, ending, apart=asked.start is not None)
            room = max(asked.settings.max_length - len(after), 1)
            cut += len(before) > room
            rows.append(data.Example(before[-room:], after, question.id, asked.start))
    if cut:
        asked.run.warn(
            f"{cut} of {len(rows)} questions lost their beginning: max_length is {asked.settings.max_length}."
        )
    found = -np.array(losses(asked, rows)[0])
    kept, labels, start = [], [], 0
    for question in questions:
        likelihoods = found[start : start + len(question.choices)]
        start += len(question.choices)
        picks = {
            "acc": likelihoods,
            "acc_norm": likelihoods / [max(len(choice), 1) for choice in question.choices],
            "acc_bytes": likelihoods / [max(len(choice.encode()), 1) for choice in question.choices],
        }
        picks = {name: int(np.argmax(values)) for name, values in picks.items()}
        labels.append((question.gold[0], picks["acc"]))
        row = {name: float(pick in question.gold) for name, pick in picks.items() if name in config["measures"]}
        told = {"prompt": question.contexts[0], "text": question.choices[picks["acc"]]}
        right = question.choices[question.gold[0]]
        kept.append({"id": question.id, **row, **told, "right": right, "loglikelihoods": likelihoods.tolist()})
    measured = {
        name: metrics.mean_of([100 * row[name] for row in kept]) for name in config["measures"] if name in kept[0]
    }
    for name, of_counts in (("f1", binary_f1), ("mcc", binary_mcc)):
        if name in config["measures"]:
            measured[name] = _of_counts(labels, of_counts)
    return measured, kept


def _of_counts(labels: Sequence[tuple[int, int]], value: Callable) -> Measured:
    """A metric of (gold, chosen) labels from its counts of true and false positives and negatives, × 100."""
    counts = np.array(
        [[g == c == 1, g != 1 and c == 1, g == 1 and c != 1, g != 1 and c != 1] for g, c in labels], float
    )
    return Measured(counts, lambda sums: 100 * value(*sums), np.array([100.0 * (g == c) for g, c in labels]))


def binary_f1(both: float, only_said: float, only_true: float, neither: float) -> float:
    """F1 of class 1."""
    return 2 * both / (2 * both + only_said + only_true) if both else 0.0


def binary_mcc(both: float, only_said: float, only_true: float, neither: float) -> float:
    """Matthews' correlation coefficient; 0 where a row or column is empty, as scikit-learn has it."""
    product = (both + only_said) * (both + only_true) * (neither + only_said) * (neither + only_true)
    return (both * neither - only_said * only_true) / product**0.5 if product else 0.0


def _written(asked: Asked, config: dict, questions: list[Question]) -> tuple[dict[str, Measured], list[dict]]:
    """Greedy answers up to a stop word, against the right texts as they are (exact_match) or by words (f1)."""
    from .overlap import word_f1

    how = config.get("generation_kwargs") or {}
    stops = how.get("until", [config["fewshot_delimiter"]])
    stops = [stops] if isinstance(stops, str) else list(stops)
    most = min(int(how.get("max_gen_toks", asked.settings.max_new_tokens)), asked.settings.max_new_tokens)
    texts = _continued(asked, [question.contexts[0] for question in questions], most)
    texts = [min((text.split(stop)[0] for stop in stops if stop), key=len, default=text) for text in texts]
    kinds = {"exact_match": lambda text, right: float(text == right), "f1": word_f1}
    prepare = partial(_plain, _rules(config))
    kept = []
    for question, text in zip(questions, texts):
        row = {
            name: max(kinds[name](prepare(text), prepare(right)) for right in question.gold)
            for name in config["measures"]
        }
        kept.append({"id": question.id, **row, "prompt": question.contexts[0], "text": text, "right": question.gold[0]})
    return {name: metrics.mean_of([100 * row[name] for row in kept]) for name in config["measures"]}, kept


def _rules(config: dict) -> dict:
    return next(
        (m for m in config.get("metric_list") or [] if isinstance(m, dict) and m["metric"] == "exact_match"), {}
    )


def _plain(rules: dict, text: str) -> str:
    """A text as exact_match compares it: the harness's ignore_case and ignore_punctuation."""
    import string

    if rules.get("ignore_case"):
        text = text.lower()
    return text.translate(str.maketrans("", "", string.punctuation)) if rules.get("ignore_punctuation") else text


def _continued(asked: Asked, contexts: list[str], most: int) -> list[str]:
    """What the model writes after each context, greedily."""
    from .decoding import Decoding, decode, end_tokens

    room = max(asked.settings.max_length - most, 1)
    prompts = [asked.tokenizer(context)["input_ids"][-room:] for context in contexts]
    keys = asked.reuse.keys(asked.base, "continuation", {**asked.about, "max_new_tokens": most}, prompts)
    found = asked.reuse.known(keys, len(prompts))
    todo = sorted((n for n in range(len(prompts)) if n not in found), key=lambda n: -len(prompts[n]))
    for start in range(0, len(todo), asked.settings.batch_size):
        asked.run.check_stop()
        asked.run.status("generating", step=start, max_steps=len(todo), progress=0.05 + 0.9 * start / len(todo))
        part = todo[start : start + asked.settings.batch_size]
        answers = decode(
            asked.merged,
            [prompts[n] for n in part],
            Decoding(max_new_tokens=most),
            seeds=[0] * len(part),
            ends=end_tokens(asked.merged, asked.tokenizer),
            pad=asked.tokenizer.eos_token_id,
            check_stop=asked.run.check_stop,
        )
        new = {n: asked.tokenizer.decode(answer.tokens, skip_special_tokens=True) for n, answer in zip(part, answers)}
        asked.reuse.keep(keys, new)
        found |= new
    return [found[number] for number in range(len(prompts))]
