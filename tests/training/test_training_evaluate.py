"""What a model finds likely: perplexity, preference accuracy; against sums by hand."""

import math

import pytest
import torch
from training_cast import WORDS, assistant, failure, finished, preference_rows, rows_of, user

from training.data import ChatTokens
from training.models import load_base, load_tokenizer

FP32 = {"precision": "fp32", "resamples": 200}


@pytest.fixture(scope="module")
def loaded(tiny):
    return load_base(str(tiny), "fp32"), load_tokenizer(str(tiny))


def logprob(loaded, prompt: list[int], answer: list[int]) -> float:
    ids = torch.tensor([prompt + answer])
    logprobs = loaded[0](ids).logits[0].log_softmax(-1)
    return sum(logprobs[len(prompt) + n - 1, token].item() for n, token in enumerate(answer))


def answer_logprob(loaded, messages: list[dict], text: str) -> tuple[float, int]:
    tokens = ChatTokens(loaded[1], "tiny")
    answer = tokens.answer(messages, text)
    return logprob(loaded, tokens.prompt(messages), answer), len(answer)


def test_perplexity_of_answers_references_and_plain_texts(run_dir, loaded):
    asked, answers = [user("say a b c")], ["red green", "one"]
    expected = [answer_logprob(loaded, asked, text) for text in answers]
    by_hand = math.exp(-sum(total for total, _ in expected) / sum(count for _, count in expected))
    rows = [{"id": n, "messages": [*asked, assistant(text)]} for n, text in enumerate(answers)]
    suite = {**FP32, "suite": "perplexity"}
    found = finished(run_dir("evaluate", {"texts": rows}, suite, name="answers"))["metrics"]["perplexity"]
    assert found["value"] == pytest.approx(by_hand, rel=1e-5)
    assert found["n"] == 2
    rows = [{"id": 1, "messages": asked, "references": answers}]
    found = finished(run_dir("evaluate", {"references": rows}, suite, name="references"))["metrics"]["perplexity"]
    assert found["value"] == pytest.approx(by_hand, rel=1e-5)
    ids = loaded[1]("say a b c one two")["input_ids"]
    by_hand = math.exp(-logprob(loaded, ids[:1], ids[1:]) / (len(ids) - 1))
    found = finished(run_dir("evaluate", {"texts": [{"text": "say a b c one two"}]}, suite, name="text"))
    assert found["metrics"]["perplexity"]["value"] == pytest.approx(by_hand, rel=1e-5)


def test_preference_accuracy_of_a_base_is_by_log_probability(run_dir, loaded):
    rows = preference_rows()
    wins = [
        answer_logprob(loaded, row["prompt"], row["chosen"][0]["content"])[0]
        > answer_logprob(loaded, row["prompt"], row["rejected"][0]["content"])[0]
        for row in rows
    ]
    longer = [len(row["chosen"][0]["content"]) > len(row["rejected"][0]["content"]) for row in rows]
    folder = run_dir("evaluate", {"pairs": rows}, {**FP32, "suite": "preference-accuracy", "batch_size": 3})
    found = finished(folder)["metrics"]
    assert set(found) == {"logprob_accuracy", "longer_accuracy"}
    assert found["logprob_accuracy"]["value"] == pytest.approx(sum(wins) / len(rows))
    assert [row["logprob_accuracy"] for row in rows_of(folder / "scores.jsonl")] == [float(win) for win in wins]
    assert found["longer_accuracy"]["value"] == pytest.approx(sum(longer) / len(rows))
    assert found["longer_accuracy"]["n"] == 16


def test_preference_accuracy_of_a_tuned_model_is_by_implicit_reward(run_dir, tiny):
    rows = preference_rows()
    settings = {"max_steps": 40, "learning_rate": 0.01, "precision": "fp32", "beta": 0.5}
    tuned = run_dir("dpo", {"train": rows[:12], "validation": rows[12:]}, settings, name="tuned")
    trained = finished(tuned)["metrics"]
    base = {"path": str(tiny), "adapter": str(tuned / "adapter")}
    suite = {**FP32, "suite": "preference-accuracy"}
    found = finished(run_dir("evaluate", {"pairs": rows[12:]}, suite, base=base, name="measured"))["metrics"]
    assert found["implicit_reward_accuracy"]["value"] == trained["validation_accuracy"] == 1
    # the reward's margin is β times the margin of log-ratios that is measured here
    assert 0.5 * found["implicit_reward_margin"]["value"] == pytest.approx(trained["validation_margin"], rel=1e-3)
    plain = finished(run_dir("evaluate", {"pairs": rows[12:]}, suite, name="plain"))["metrics"]
    assert found["base_logprob_accuracy"] == plain["logprob_accuracy"]


def test_long_texts_are_measured_in_pieces(run_dir):
    rows = [{"id": "long", "text": " ".join(WORDS * 3)}]
    folder = run_dir("evaluate", {"texts": rows}, {**FP32, "suite": "perplexity", "max_length": 20})
    assert finished(folder)["metrics"]["perplexity"]["n"] == math.ceil(3 * len(WORDS) / 20)


@pytest.mark.parametrize(
    ("files", "settings", "said"),
    [
        ({}, {"suite": "preference-accuracy"}, "data.pairs must name a file"),
        ({"pairs": []}, {"suite": "preference-accuracy"}, "there is no pair to measure"),
        ({"texts": []}, {"suite": "perplexity"}, "there is no text to measure"),
        ({}, {"suite": "rhyme"}, "suite must be one of text-overlap, answer-match, perplexity"),
        ({"predictions": [{"id": 1, "text": 3, "references": []}]}, {}, 'line 1: a prediction must have an "id"'),
        ({"predictions": [{"id": 1, "text": "a", "references": "b"}]}, {}, '"references" must be a list of texts'),
    ],
)
def test_what_cannot_be_measured_is_told(run_dir, files, settings, said):
    assert said in failure(run_dir("evaluate", files, settings))[1]
