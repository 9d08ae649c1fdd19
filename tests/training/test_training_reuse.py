"""A suite's answers, their likeness to references, rewards; and that nothing is computed twice."""

import numpy as np
import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer
from training_cast import finished, preference_rows, rows_of, user

from training.models import load_base, load_tokenizer
from training.suites import overlap
from training.suites.overlap import squad_words, word_f1

FP32 = {"precision": "fp32", "resamples": 100}
ITEMS = [
    {"id": "a#0", "messages": [user("say a")], "references": ["red green", "one two"]},
    {"id": "a#1", "messages": [user("say a b")], "references": []},
    {"id": 7, "messages": [user("what is good ?")], "references": ["bad ."]},
]


def answers(run_dir, tmp_path, name, settings=None, **more):
    how = {**FP32, "suite": "answers", "max_new_tokens": 6, **(settings or {})}
    folder = run_dir("evaluate", {"items": ITEMS}, how, name=name, cache=str(tmp_path / "cache"), **more)
    return finished(folder), rows_of(folder / "answers.jsonl")


def test_an_answer_is_written_once_for_the_same_weights_input_and_settings(run_dir, tmp_path):
    first, before = answers(run_dir, tmp_path, "first")
    assert first["reuse"] == {"asked": 3, "reused": 0}
    assert [(row["id"], row["index"]) for row in before] == [("a#0", 0), ("a#1", 0), (7, 0)]
    second, after = answers(run_dir, tmp_path, "second")
    assert second["reuse"] == {"asked": 3, "reused": 3}
    assert [row["text"] for row in after] == [row["text"] for row in before]
    other, _ = answers(run_dir, tmp_path, "other", {"max_new_tokens": 5})
    assert other["reuse"]["reused"] == 0, "other settings are another answer"


def test_several_seeds_give_several_answers_which_are_the_same_again(run_dir, tmp_path):
    how = {"samples": 3, "temperature": 1.5}
    _, rows = answers(run_dir, tmp_path, "seeds", how)
    assert [(row["id"], row["index"]) for row in rows[:4]] == [("a#0", 0), ("a#0", 1), ("a#0", 2), ("a#1", 0)]
    assert len({row["text"] for row in rows[:3]}) > 1
    result, again = answers(run_dir, tmp_path, "again", how)
    assert result["reuse"]["reused"] == 9
    assert [row["text"] for row in again] == [row["text"] for row in rows]


def test_losses_are_reused_and_the_weights_are_part_of_the_key(run_dir, tmp_path, tiny):
    rows = [{"id": n, "messages": [user("say a")], "references": [text]} for n, text in enumerate(("one", "two red"))]
    runs = []
    for name, path in (("first", tiny), ("second", tiny), ("other", tmp_path / "other")):
        if name == "other":
            from training_cast import tiny_model

            tiny_model(path, seed=5)
        files, how = {"references": rows}, {**FP32, "suite": "perplexity"}
        folder = run_dir(
            "evaluate", files, how, name=name + "-run", base={"path": str(path)}, cache=str(tmp_path / "c")
        )
        runs.append(finished(folder))
    assert [run["reuse"]["reused"] for run in runs] == [0, 2, 0]
    assert runs[0]["metrics"] == runs[1]["metrics"]
    assert runs[0]["metrics"] != runs[2]["metrics"]


def test_a_store_that_cannot_be_used_costs_time_only(run_dir, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "computed.sqlite3").write_text("no database")
    result, rows = answers(run_dir, tmp_path, "broken")
    assert len(rows) == 3
    assert result["reuse"]["reused"] == 0


def test_likeness_is_the_cosine_of_centred_mean_states(run_dir, tmp_path, tiny):
    given = [
        {"id": 1, "text": "red green", "references": ["red green", "five"]},
        {"id": 2, "text": "", "references": ["a"]},
    ]
    given += [{"id": 3, "text": "one two", "references": ["bad ."]}, {"id": 4, "text": "no", "references": []}]
    folder = run_dir("evaluate", {"answers": given}, {**FP32, "suite": "answers"}, embedder={"path": str(tiny)})
    finished(folder)
    same, empty, unlike, without = (row["similarity"] for row in rows_of(folder / "answers.jsonl"))
    assert same == pytest.approx(1)
    assert (empty, without) == (None, None)
    model, tokenizer = load_base(str(tiny), "fp32"), load_tokenizer(str(tiny))
    from training.suites.embedding import GENERAL_TEXT

    def vector(text):
        with torch.inference_mode():
            return model.model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0].mean(0).numpy()

    centre = np.mean([vector(part.strip()) for part in GENERAL_TEXT.read_text().split("\n\n") if part.strip()], axis=0)
    a, b = vector("one two") - centre, vector("bad .") - centre
    assert unlike == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-4)


def test_rewards_are_those_of_the_recipe_score(run_dir, tmp_path, tiny):
    pairs = preference_rows()
    trained = run_dir("reward", {"train": pairs[:12], "validation": pairs[12:]}, {"max_steps": 5}, name="trained")
    finished(trained)
    reward = {"path": str(tiny), "adapter": str(trained / "adapter")}
    good = [{"id": n, "prompt": row["prompt"], "completion": row["chosen"]} for n, row in enumerate(pairs)]
    bad = [{"id": n, "prompt": row["prompt"], "completion": row["rejected"]} for n, row in enumerate(pairs)]
    scored = run_dir("score", {"answers": good}, {"precision": "fp32"}, name="scored", reward=reward, base={})
    finished(scored)
    expected = [row["reward"] for row in rows_of(scored / "scores.jsonl")]
    more = {"base": {}, "reward": reward, "cache": str(tmp_path / "cache")}
    files = {"predictions": good, "baseline": bad}
    folder = run_dir("evaluate", files, {**FP32, "suite": "reward"}, name="measured", **more)
    result = finished(folder)
    assert [row["reward"] for row in rows_of(folder / "scores.jsonl")] == pytest.approx(expected, abs=1e-4)
    assert result["metrics"]["reward"]["value"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert result["differences"]["reward"]["n"] == 16
    again = finished(run_dir("evaluate", files, {**FP32, "suite": "reward"}, name="again", **more))
    assert again["reuse"] == {"asked": 32, "reused": 32}
    assert again["metrics"] == result["metrics"]


# --- Words ----------------------------------------------------------------------------------------------------------


def test_rouge_lsum_takes_lines_for_sentences():
    text, references = "red green\none two", ["one two three\nred", "green\nblue"]
    scorer = RougeScorer(["rougeLsum"], use_stemmer=True)
    theirs = max((scorer.score(one, text)["rougeLsum"] for one in references), key=lambda score: score.fmeasure)
    found = overlap.rouge([text, "one line"], [references, ["one line"]])
    assert found["rougeLsum"].scores.tolist() == pytest.approx([100 * theirs.fmeasure, 100])
    assert found["rougeLsum_precision"].scores[0] == pytest.approx(100 * theirs.precision)
    assert found["rougeL"].scores[0] < found["rougeLsum"].scores[0]


def test_bleu_of_fewer_words_is_of_those_alone():
    """“the the cat” against “the cat”: a clipped unigram precision of 2/3, a bigram one of 1/2, no brevity penalty."""
    found = overlap.bleu(["the the cat"], [["the cat"]])
    value = {name: one.value(one.statistics.sum(axis=0)) for name, one in found.items()}
    assert value["bleu1"] == pytest.approx(100 * 2 / 3)
    assert value["bleu2"] == pytest.approx(100 * (2 / 3 * 1 / 2) ** 0.5)


def test_exact_match_and_f1_are_squads():
    assert squad_words("The  cat's, a toy!") == ["cats", "toy"]
    assert word_f1("the red cat", "a cat sat") == pytest.approx(2 * (1 / 2) * (1 / 2))
    assert (word_f1("the", "an"), word_f1("the", "cat")) == (1, 0)
    found = overlap.answer_match(["The cat.", "dog"], [["a dog", "cat"], ["red dog"]])
    assert found["exact_match"].scores.tolist() == [100, 0]
    assert found["f1"].scores.tolist() == pytest.approx([100, 200 / 3])


def test_answer_match_needs_no_model(run_dir):
    rows = [{"id": 1, "text": "Paris!", "references": ["paris"]}, {"id": 2, "text": "Rome", "references": ["Oslo"]}]
    result = finished(run_dir("evaluate", {"predictions": rows}, {"suite": "answer-match"}, base={}))
    assert result["metrics"]["exact_match"]["value"] == 50
    assert result["metrics"]["f1"]["value"] == 50
