"""Tasks whose answers are written (generate_until): stop words, several samples, filters, and what is right."""

import string
from collections.abc import Callable, Sequence

import regex

from ... import metrics
from ...config import EvaluateSettings
from ...directory import RunDirectory
from ...errors import TrainingError
from ...metrics import Measured
from ...outputs import stream_seed
from .filters import FIRST, SECONDS, filtered
from .questions import Question

# (contexts, seeds, how) → what was written after each context; how: max_new_tokens, temperature, top_p, stop.
Continue = Callable[[list[str], list[int], dict], list[str]]


def samples_of(config: dict, settings: EvaluateSettings) -> int:
    """How many answers to each question: the suite's seeds, else the task's repeats."""
    repeats = config.get("repeats", 1)
    repeats = repeats if isinstance(repeats, int) and not isinstance(repeats, bool) else 0
    if not 1 <= repeats <= 200:
        raise TrainingError("bad_data", f"repeats must be a whole number from 1 to 200; it is {config['repeats']!r}.")
    return settings.samples if settings.samples > 1 else repeats


def how_of(config: dict, settings: EvaluateSettings) -> dict:
    """How the task wants texts written: the harness's generation_kwargs; a temperature of the suite's comes first."""
    given = config.get("generation_kwargs") or {}
    stops = given.get("until", [config["fewshot_delimiter"]])
    stops = [stops] if isinstance(stops, str) else list(stops)
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    most = next((int(given[name]) for name in names if given.get(name) is not None), settings.max_new_tokens)
    temperature = float(given.get("temperature") or 0.0)
    if given.get("do_sample") is True and not temperature:
        temperature = 1.0  # the transformers library's, which the harness leaves it to
    if given.get("do_sample") is False:
        temperature = 0.0
    return {
        "max_new_tokens": min(most, settings.max_new_tokens),
        "temperature": settings.temperature or temperature,
        "top_p": float(given.get("top_p") or settings.top_p),
        "stop": [stop for stop in stops if stop],
    }


def written(
    run: RunDirectory, settings: EvaluateSettings, config: dict, questions: list[Question], write: Continue
) -> tuple[dict[str, Measured], list[dict]]:
    """(metrics, rows for scores.jsonl): each question answered, cut at the first stop word, filtered and compared."""
    texts = _texts(settings, config, questions, write)
    if config["code"]:
        return _programs(run, settings, config, questions, texts)
    pipelines = config.get("filter_list") or [FIRST]
    # one pipeline's metrics have their own names; of several each is named as the harness prints it
    names = {one["name"]: "" if len(pipelines) == 1 else f",{one['name']}" for one in pipelines}
    kept = []
    for question, of_question in zip(questions, texts):
        row: dict = {"id": question.id}
        for one in pipelines:
            text = filtered(one["filter"], of_question)
            row |= {name + names[one["name"]]: value for name, value in _scores(config, text, question).items()}
        scores = [value for value in row.values() if isinstance(value, float)]
        shown = filtered(pipelines[0]["filter"], of_question)
        told = {"prompt": question.contexts[0], "text": of_question[0], "right": question.gold[0]}
        told |= {} if shown == of_question[0] else {"taken": shown}
        kept.append({**row, "passed": scores[0] >= 1, **told})
    measured = [name for name, value in kept[0].items() if isinstance(value, float)]
    return {name: metrics.mean_of([100 * row[name] for row in kept]) for name in measured}, kept


def _texts(settings: EvaluateSettings, config: dict, questions: list[Question], write: Continue) -> list[list[str]]:
    """[questions][samples], each up to its first stop word."""
    samples, how = samples_of(config, settings), how_of(config, settings)
    each = samples if how["temperature"] else 1  # at temperature 0 all are the same
    contexts = [question.contexts[0] for question in questions for _ in range(each)]
    seeds = [stream_seed(settings.seed, question.id, index) for question in questions for index in range(each)]
    found = write(contexts, seeds, how)
    cut = [min((text.split(stop)[0] for stop in how["stop"]), key=len, default=text) for text in found]
    return [cut[start : start + each] * (samples // each) for start in range(0, len(cut), each)]


def _programs(
    run: RunDirectory,
    settings: EvaluateSettings,
    config: dict,
    questions: list[Question],
    texts: list[list[str]],
) -> tuple[dict[str, Measured], list[dict]]:
    from .programs import k_of, question_scored
    from .sandbox import Limits

    ks, kept = k_of(config, len(texts[0])), []
    limits = Limits(seconds=settings.code_seconds)
    for number, (question, of_question) in enumerate(zip(questions, texts)):
        run.check_stop()
        run.status("evaluating", progress=0.9 + 0.08 * number / len(questions), message=None)
        told = {"prompt": question.contexts[0], "right": question.gold[0]}
        kept.append({"id": question.id, **question_scored(config, question, of_question, ks, limits), **told})
    return {f"pass@{k}": metrics.mean_of([100 * row[f"pass@{k}"] for row in kept]) for k in ks}, kept


# --- What is right ---------------------------------------------------------------------------------------------------


def _scores(config: dict, text: str, question: Question) -> dict[str, float]:
    """The best over the right answers, by each of the task's metrics."""
    from ..overlap import word_f1

    rules = next((one for one in config["metric_list"] if one["metric"] == "exact_match"), {})
    kinds = {"exact_match": lambda text, right: float(plain(rules, text) == plain(rules, right)), "f1": word_f1}
    return {name: float(max(kinds[name](text, right) for right in question.gold)) for name in config["measures"]}


def plain(rules: dict, text: str) -> str:
    """A text as exact_match compares it: regexes_to_ignore, ignore_case, ignore_punctuation, ignore_numbers."""
    for pattern in rules.get("regexes_to_ignore") or []:
        try:
            text = regex.sub(pattern, "", text, timeout=SECONDS)
        except TimeoutError:
            continue
        except regex.error as error:
            raise TrainingError("bad_data", f"regexes_to_ignore: {pattern!r} is no pattern: {error}.") from None
    if rules.get("ignore_case"):
        text = text.lower()
    removed = (string.punctuation if rules.get("ignore_punctuation") else "") + (
        string.digits if rules.get("ignore_numbers") else ""
    )
    return text.translate(str.maketrans("", "", removed))


# --- Writing with weights of ours ------------------------------------------------------------------------------------


def continued(asked) -> Continue:
    """How a model (measuring.Asked) writes on after plain texts; what it wrote before is taken from there."""

    def write(contexts: Sequence[str], seeds: Sequence[int], how: dict) -> list[str]:
        most, sampled = how["max_new_tokens"], how["temperature"] > 0
        room = max(asked.settings.max_length - most, 1)
        prompts = [asked.tokenizer(context)["input_ids"][-room:] for context in contexts]
        about = {**asked.about, "max_new_tokens": most}
        inputs: list = prompts
        if sampled:
            about |= {"temperature": how["temperature"], "top_p": how["top_p"]}
            inputs = [[prompt, seed] for prompt, seed in zip(prompts, seeds)]
        keys = asked.reuse.keys(asked.base, "continuation", about, inputs)
        found = asked.reuse.known(keys, len(prompts))
        todo = sorted((n for n in range(len(prompts)) if n not in found), key=lambda n: -len(prompts[n]))
        if todo:
            found |= _decoded(asked, prompts, seeds, how, todo, keys)
        return [found[number] for number in range(len(prompts))]

    return write


def _decoded(asked, prompts: list, seeds: Sequence[int], how: dict, todo: list[int], keys: list | None) -> dict:
    from ...networks.decoding import Decoding, decode, end_tokens

    decoding = Decoding(how["max_new_tokens"], how["temperature"], how["top_p"] if how["temperature"] else 1.0)
    found = {}
    for start in range(0, len(todo), asked.settings.batch_size):
        asked.run.check_stop()
        asked.run.status("generating", step=start, max_steps=len(todo), progress=0.05 + 0.85 * start / len(todo))
        part = todo[start : start + asked.settings.batch_size]
        answers = decode(
            asked.merged,
            [prompts[n] for n in part],
            decoding,
            seeds=[seeds[n] for n in part],
            ends=end_tokens(asked.merged, asked.tokenizer),
            pad=asked.tokenizer.eos_token_id,
            check_stop=asked.run.check_stop,
        )
        new = {n: asked.tokenizer.decode(answer.tokens, skip_special_tokens=True) for n, answer in zip(part, answers)}
        asked.reuse.keep(keys, new)
        found |= new
    return found
