"""The suite forgetting: what a tuning may have cost a model of the general language and knowledge that its base had."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import data, metrics
from ..config import EvaluateSettings
from ..directory import RunDirectory
from ..metrics import Measured
from ..networks.encoder_decoder import tokens_of
from .harness.choosing import pair_tokens
from .measuring import Asked, losses, report_rows, text_examples

GENERAL_TEXT = Path(__file__).parent / "general_text.txt"
QUESTIONS = Path(__file__).parent / "general_questions.jsonl"


def forgetting(run: RunDirectory, spec: dict, settings: EvaluateSettings) -> dict:
    """Perplexity on a fixed general text of our own, and simple questions of our own; with an adapter also the base's.

    perplexity: over paragraphs; with an adapter also base_perplexity and perplexity_ratio, well above 1 for a tuned
    model that forgot general language.
    accuracy: questions whose right choice is likelier than each other one, × 100; with an adapter also base_accuracy
    and accuracy_change, the difference, resampled in pairs; its p_value is the exact sign test's.
    scores.jsonl: a row a paragraph, then a row a question: {id, category, accuracy, text, right, …}.
    """
    asked = Asked(run, spec, settings)
    paragraphs = [text.strip() for text in GENERAL_TEXT.read_text(encoding="utf-8").split("\n\n") if text.strip()]
    texts = [
        example
        for number, text in enumerate(paragraphs)
        for example in text_examples(asked, text, settings.max_length, number)
    ]
    questions = read_questions()
    examples = texts + choice_examples(asked, questions)
    found, lengths = losses(asked, examples)
    after, likelihoods = _parted(found, len(texts), questions)
    tokens, now = lengths[: len(texts)], right(questions, likelihoods)
    scores = {"perplexity": metrics.perplexity_of(after, tokens), "accuracy": metrics.mean_of(100 * now)}
    if asked.base.adapter:
        before, of_base = _parted(losses(asked, examples, adapter=False)[0], len(texts), questions)
        was = right(questions, of_base)
        scores["base_perplexity"] = metrics.perplexity_of(before, tokens)
        scores["perplexity_ratio"] = metrics.perplexity_of([a - b for a, b in zip(after, before)], tokens)
        scores["base_accuracy"] = metrics.mean_of(100 * was)
        scores["accuracy_change"] = metrics.mean_of(100 * (now - was))
    result = report_rows(run, settings, scores, _rows(scores, [row.id for row in texts], questions, likelihoods))
    if change := result["metrics"].get("accuracy_change"):
        change["p_value"] = metrics.sign_test(scores["accuracy_change"].scores)
    return {**result, "notes": [], "base_path": asked.base.path, **asked.reuse.told()}


def _parted(found: list[float], texts: int, questions: list[dict]) -> tuple[list[float], list[list[float]]]:
    """(losses of the texts, log-likelihoods of each question's choices) of the losses of both, one after the other."""
    likelihoods, start = [], texts
    for question in questions:
        end = start + len(question["choices"])
        likelihoods.append([-loss for loss in found[start:end]])
        start = end
    return found[:texts], likelihoods


def _rows(
    scores: dict[str, Measured], texts: list, questions: list[dict], likelihoods: list[list[float]]
) -> list[dict]:
    """scores.jsonl: each paragraph and each question with its own values of the metrics."""
    rows = [{"id": id} for id in texts]
    for question, of_choices in zip(questions, likelihoods):
        told = {"prompt": question["question"], "text": question["choices"][likeliest(question, of_choices)]}
        told |= {"right": question["answer"], "loglikelihoods": of_choices}
        rows.append({"id": question["id"], "category": question["category"], **told})
    for name, of_metric in scores.items():
        of = rows[len(texts) :] if "accuracy" in name else rows[: len(texts)]
        for row, value in zip(of, of_metric.scores.tolist()):
            row[name] = value
    return rows


# --- Questions -------------------------------------------------------------------------------------------------------


def read_questions() -> list[dict]:
    """[{id, category, question, choices, answer}] of the file of ours."""
    return [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines() if line.strip()]


def choice_examples(asked: Asked, questions: list[dict]) -> list[data.Example]:
    """Each question as a prompt with each of its choices as the answer, question by question."""
    written = _writing(asked)
    examples = []
    for question in questions:
        for choice in question["choices"]:
            prompt, answer = written(question["question"], choice)
            room = max(asked.settings.max_length - len(answer), 1)
            examples.append(data.Example(prompt[-room:], answer, question["id"], asked.start))
    return examples


def _writing(asked: Asked) -> Callable[[str, str], tuple[list[int], list[int]]]:
    """(question, choice) → their tokens: the user's message and the assistant's whole answer, its end too, so that 1 is
    no likelier than 12 for being the beginning of it. For a causal base without a chat template, which ends no turns, a
    line that goes on."""
    if asked.start is None and not asked.tokenizer.chat_template:
        return lambda question, choice: pair_tokens(asked.tokenizer, f"Question: {question}\nAnswer:", f" {choice}")
    tokens = tokens_of(asked.tokenizer, asked.base.path)

    def conversation(question: str, choice: str) -> tuple[list[int], list[int]]:
        messages = [{"role": "user", "content": question}]
        return tokens.prompt(messages), tokens.answer(messages, choice)

    return conversation


def _normalised(question: dict, likelihoods: list[float]) -> np.ndarray:
    """Log-likelihoods over the choices' characters, as lm-evaluation-harness has it for acc_norm (Gao et al.,
    lm_eval/api/task.py, process_results): a long choice is not the worse for being long."""
    return np.array(likelihoods) / [len(choice) for choice in question["choices"]]


def likeliest(question: dict, likelihoods: list[float]) -> int:
    """The number of the likeliest choice."""
    return int(np.argmax(_normalised(question, likelihoods)))


def right(questions: list[dict], likelihoods: list[list[float]]) -> np.ndarray:
    """[questions] of 1 and 0: whether the right choice is likelier than each other one. A tie is not, nor is NaN: a
    model that finds all alike knows nothing."""
    found = []
    for question, of_choices in zip(questions, likelihoods):
        scores = _normalised(question, of_choices)
        answer = question["choices"].index(question["answer"])
        found.append(bool((scores[answer] > np.delete(scores, answer)).all()))
    return np.array(found, dtype=float)
