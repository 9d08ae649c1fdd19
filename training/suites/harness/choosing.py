"""Tasks whose answers are chosen: the likeliest of some endings, by their log-likelihoods."""

from collections.abc import Callable, Sequence

import numpy as np

from ... import data, metrics
from ...errors import TrainingError
from ...metrics import Measured
from ..measuring import Asked, losses
from .questions import MC2, Question, is_known


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


def chosen(asked: Asked, config: dict, questions: list[Question]) -> tuple[dict[str, Measured], list[dict]]:
    """(metrics, rows for scores.jsonl) of each question's likeliest ending."""
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
    if is_known(config, MC2):
        return _mass_of_truth(questions, found)
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
        kept.append(
            {
                "id": question.id,
                **row,
                "passed": row["acc"] >= 1,
                **told,
                "right": right,
                "loglikelihoods": likelihoods.tolist(),
            }
        )
    measured = {
        name: metrics.mean_of([100 * row[name] for row in kept]) for name in config["measures"] if name in kept[0]
    }
    if "f1" in config["measures"]:
        three = is_known(config, ("cb", "f1"))
        measured["f1"] = mean_f1(labels, range(3)) if three else _of_counts(labels, binary_f1)
    if "mcc" in config["measures"]:
        measured["mcc"] = _of_counts(labels, binary_mcc)
    return measured, kept


def _mass_of_truth(questions: list[Question], found: np.ndarray) -> tuple[dict[str, Measured], list[dict]]:
    """TruthfulQA's mc2 (Lin et al. 2022): the probability of the true answers over that of all that are given."""
    kept, start = [], 0
    for question in questions:
        likelihoods = found[start : start + len(question.choices)]
        start += len(question.choices)
        labels = np.array((question.row.get("mc2_targets") or {}).get("labels") or [])
        if len(labels) != len(likelihoods) or not set(labels.tolist()) <= {0, 1}:
            message = f"row {question.id!r}: mc2_targets.labels must say 1 or 0 of each of its choices."
            raise TrainingError("bad_data", message)
        # less the largest, so that the probabilities of long answers do not all become 0
        likely = np.exp(likelihoods - likelihoods.max())
        mass = float(likely[labels == 1].sum() / likely.sum())
        right = next((text for text, label in zip(question.choices, labels) if label == 1), "")
        told = {"prompt": question.contexts[0], "text": question.choices[int(np.argmax(likelihoods))], "right": right}
        row = {"id": question.id, "acc": mass, "passed": mass > 0.5, **told, "loglikelihoods": likelihoods.tolist()}
        kept.append(row)
    return {"acc": metrics.mean_of([100 * row["acc"] for row in kept])}, kept


def mean_f1(labels: Sequence[tuple[int, int]], classes: Sequence[int]) -> Measured:
    """The mean over classes of F1, × 100, as CB has it."""
    counts = np.array(
        [[n for of in classes for n in (g == c == of, g != of and c == of, g == of and c != of)] for g, c in labels],
        float,
    )

    def value(sums: np.ndarray) -> float:
        return 100 * float(np.mean([binary_f1(*one, 0) for one in sums.reshape(-1, 3)]))

    return Measured(counts, value, np.array([100.0 * (g == c) for g, c in labels]))


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
