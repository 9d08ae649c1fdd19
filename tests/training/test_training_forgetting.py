"""What was forgotten: general text grown strange, simple questions no longer answered; against sums by hand."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from training_cast import WORDS, assistant, echo_rows, finished, rows_of, smol_model, user
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.data import Example
from training.suites import forgetting
from training.suites.measuring import by_prompt

FP32 = {"precision": "fp32", "resamples": 200}
SUITE = {**FP32, "suite": "forgetting"}
LEARN = {"precision": "fp32", "max_steps": 60, "learning_rate": 0.02}
QUESTIONS = forgetting.read_questions()


def test_the_questions_are_well_formed():
    assert len({question["id"] for question in QUESTIONS}) == len(QUESTIONS) == 96
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)
    for question in QUESTIONS:
        assert set(question) == {"id", "category", "question", "choices", "answer"}
        assert len(set(question["choices"])) == len(question["choices"]) == 4, question
        assert question["answer"] in question["choices"]
        assert all(text == text.strip() != "" for text in (question["question"], *question["choices"]))
    assert min(Counter(question["category"] for question in QUESTIONS).values()) >= 8


def by_hand(folder, prompt_of, whole_of) -> list[list[float]]:
    """Log-likelihoods of each question's choices by transformers alone, each in a row of its own."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = []
    for question in QUESTIONS:
        prompt = tokenizer(prompt_of(question["question"]))["input_ids"]
        likelihoods = []
        for choice in question["choices"]:
            whole = tokenizer(whole_of(question["question"], choice))["input_ids"]
            assert whole[: len(prompt)] == prompt
            with torch.no_grad():
                logprobs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            places = range(len(prompt), len(whole))
            likelihoods.append(sum(logprobs[place - 1, whole[place]].item() for place in places))
        found.append(likelihoods)
    return found


CHAT = (lambda asked: f"<user> {asked} <end>\n<assistant>", lambda asked, said: f"{CHAT[0](asked)} {said} <end>")
PLAIN = (lambda asked: f"Question: {asked}\nAnswer:", lambda asked, said: f"{PLAIN[0](asked)} {said}")


@pytest.mark.parametrize("written", [CHAT, PLAIN])
def test_accuracy_is_by_the_likeliest_choice_over_its_characters(run_dir, tmp_path, written):
    """As the assistant's answer with its end; of a base without a chat template as a text that goes on."""
    base = smol_model(tmp_path / "smol")
    if written == PLAIN:
        (base / "chat_template.jinja").unlink()
    folder = run_dir("evaluate", {}, SUITE, base={"path": str(base)})
    found = finished(folder)["metrics"]
    rows = [row for row in rows_of(folder / "scores.jsonl") if "category" in row]
    expected = by_hand(base, *written)
    ours = np.array([row["loglikelihoods"] for row in rows])
    assert ours == pytest.approx(np.array(expected), rel=1e-4)
    picked = [
        question["choices"][int(np.argmax(np.array(of) / [len(choice) for choice in question["choices"]]))]
        for question, of in zip(QUESTIONS, expected)
    ]
    assert [row["text"] for row in rows] == picked
    hits = [100.0 * (text == question["answer"]) for text, question in zip(picked, QUESTIONS)]
    assert [row["accuracy"] for row in rows] == hits
    assert 0 < sum(hits) < 100 * len(hits)
    assert found["accuracy"]["value"] == pytest.approx(np.mean(hits))
    half = 1.96 * np.std(hits) / len(hits) ** 0.5
    assert found["accuracy"]["upper"] - found["accuracy"]["lower"] == pytest.approx(2 * half, rel=0.3)
    assert (found["accuracy"]["n"], found["perplexity"]["n"]) == (96, 24)


def test_a_model_that_finds_all_choices_alike_is_right_nowhere():
    asked = {"choices": ["aa", "bb", "cc"], "answer": "aa"}
    likelihoods = [[-1, -2, -3], [-1, -1, -3], [-2, -1, -3], [float("nan")] * 3]
    assert forgetting.right([asked] * 4, likelihoods).tolist() == [1, 0, 0, 0]


def test_forgetting_is_seen(run_dir, tmp_path):
    """With the adapter off it is the base alone; one tuned hard on single words has forgotten how others read."""
    cache, base = str(tmp_path / "cache"), {"path": str(smol_model(tmp_path / "smol"))}
    plain = finished(run_dir("evaluate", {}, SUITE, base=base, name="plain", cache=cache))["metrics"]
    assert set(plain) == {"perplexity", "accuracy"}
    tuned = run_dir("sft", {"train": echo_rows()}, LEARN, base=base, name="tuned")
    finished(tuned)
    adapted = {**base, "adapter": str(tuned / "adapter")}
    # computed anew, not taken from what the base alone left in a cache
    found = finished(run_dir("evaluate", {}, SUITE, base=adapted, name="measured"))["metrics"]
    assert found["base_perplexity"]["value"] == pytest.approx(plain["perplexity"]["value"])
    assert found["base_accuracy"] == plain["accuracy"]
    ratio = found["perplexity"]["value"] / found["base_perplexity"]["value"]
    assert found["perplexity_ratio"]["value"] == pytest.approx(ratio, rel=1e-6)
    assert ratio > 1.05
    assert found["perplexity"]["n"] >= 20
    again = finished(run_dir("evaluate", {}, SUITE, base=base, name="again", cache=cache))
    assert again["reuse"]["reused"] == again["reuse"]["asked"] == 24 + 4 * 96
    assert again["metrics"] == plain


@pytest.fixture
def words_asked(monkeypatch, tmp_path):
    """Questions in the tiny model's own words: `say X` is answered by X."""
    words = WORDS[:16]
    asked = [
        {
            "id": f"words-{number}",
            "category": "words",
            "question": f"say {word}",
            "choices": [words[(number + step) % 16] for step in (5, 1, 0, 3)],
            "answer": word,
        }
        for number, word in enumerate(words)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(question) + "\n" for question in asked))
    monkeypatch.setattr(forgetting, "QUESTIONS", path)


@pytest.mark.parametrize(("step", "accuracy"), [(0, 100), (1, 0)])
def test_accuracy_follows_what_was_learnt(run_dir, tiny, words_asked, step, accuracy):
    """A model tuned to give the right answers gains all of them, one tuned to give wrong ones loses all it had."""
    words = WORDS[:16]
    rows = [{"messages": [user(f"say {w}"), assistant(words[(n + step) % 16])]} for n, w in enumerate(words)]
    tuned = run_dir("sft", {"train": rows}, {**LEARN, "max_steps": 150}, name="tuned")
    finished(tuned)
    base = {"path": str(tiny), "adapter": str(tuned / "adapter")}
    found = finished(run_dir("evaluate", {}, SUITE, base=base, name="measured"))["metrics"]
    assert found["accuracy"]["value"] == accuracy
    change = found["accuracy_change"]
    assert 0 < found["base_accuracy"]["value"] < 100
    assert change["value"] == pytest.approx(accuracy - found["base_accuracy"]["value"])
    assert change["lower"] <= change["value"] <= change["upper"]
    if accuracy:
        assert change["lower"] > 0
    else:
        assert change["upper"] < 0
    turned = round(abs(change["value"]) * 16 / 100)
    assert change["p_value"] == pytest.approx(2 * 0.5**turned)


def test_answers_to_one_prompt_are_side_by_side():
    long, short = list(range(9)), [1, 2]
    rows = [Example(short, [3] * 20, 0), Example(long, [3], 1), Example([], [3] * 5, 2), Example(short, [3], 0)]
    rows += [Example(long, [3] * 15, 1), Example([], [3] * 50, 3)]
    assert by_prompt(rows, range(6)) == [5, 2, 4, 1, 0, 3]
    assert by_prompt(rows, [3, 2, 1]) == [2, 1, 3]
