"""Tasks whose answers are programs (HumanEval, MBPP): each is run with its tests in the sandbox, off by default."""

from math import comb

from ...errors import TrainingError
from .questions import Question
from .sandbox import Limits, program_run

CODE_METRICS = ("code_eval", "pass_at_k", "pass_at_1", "!function utils.pass_at_k", "!function utils.pass_at_1")
BEFORE = "!function utils.build_predictions"  # HumanEval's: the prompt is the program's beginning


def k_of(config: dict, samples: int) -> list[int]:
    """The ks of pass@k that the task asks for. Raises TrainingError where there are fewer samples than that."""
    given = config["metric_list"][0].get("k", 1)
    ks = sorted(set(given if isinstance(given, list) else [given]))
    if not ks or not all(isinstance(k, int) and not isinstance(k, bool) and k >= 1 for k in ks):
        raise TrainingError("bad_data", f"k of pass@k must be whole numbers from 1 on; it is {given!r}.")
    if ks[-1] > samples:
        message = (
            f"pass@{ks[-1]} needs {ks[-1]} answers to each question; there are {samples}. Raise repeats (or seeds)."
        )
        raise TrainingError("bad_data", message)
    return ks


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k answers is right, from `samples` of which `right` are.

    1 − C(n−c, k) / C(n, k): Chen et al. 2021, "Evaluating Large Language Models Trained on Code", equation 1.
    """
    return 1.0 - comb(samples - right, k) / comb(samples, k)


def programs_of(config: dict, question: Question, texts: list[str]) -> list[str]:
    """Each answer as a program with its tests behind it, as HuggingFace's code_eval puts them together."""
    steps = [step for one in config.get("filter_list") or [] for step in one.get("filter", [])]
    before = any(step.get("filter_fn") == BEFORE for step in steps)
    start = str(question.row.get("prompt", "")) if before else ""
    return [f"{start}{text}\n{question.gold[0]}" for text in texts]


def question_scored(config: dict, question: Question, texts: list[str], ks: list[int], limits: Limits) -> dict:
    """{pass@k: 0…1, passed, text, why}: of a question's answers. text: the first that fails, with why it does."""
    ran = [program_run(program, limits) for program in programs_of(config, question, texts)]
    right = sum(one.passed for one in ran)
    shown = next((number for number, one in enumerate(ran) if not one.passed), 0)
    scores = {f"pass@{k}": pass_at_k(len(ran), right, k) for k in ks}
    return {**scores, "passed": right == len(ran), "text": texts[shown], "why": ran[shown].why}
