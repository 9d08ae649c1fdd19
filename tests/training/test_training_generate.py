"""Generating: the same as without a cache and a batch, reproducible, resumable, each answer asked for once."""

import json

import pytest
import torch
from training_cast import WORDS, assistant, events, failure, finished, rows_of, user

from training.data import ChatTokens
from training.models import load_base, load_tokenizer
from training.networks.decoding import Decoding, decode, end_tokens

PROMPTS = [{"id": f"p{n}", "messages": [user(f"say {' '.join(WORDS[: n + 1])}")]} for n in range(9)]
GREEDY = {"max_new_tokens": 12, "batch_size": 4, "precision": "fp32"}


@pytest.fixture(scope="module")
def loaded(tiny):
    return load_base(str(tiny), "fp32"), load_tokenizer(str(tiny))


def by_hand(model, prompt: list[int], ends: set[int], penalty: float = 1.0) -> list[int]:
    """Greedy decoding in the plainest way: no cache, no batch, no padding."""
    ids = list(prompt)
    while len(ids) < len(prompt) + 12:
        logits = model(torch.tensor([ids])).logits[0, -1]
        for seen in set(ids):
            logits[seen] = logits[seen] / penalty if logits[seen] > 0 else logits[seen] * penalty
        token = int(logits.argmax())
        if token in ends:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_greedy_answers_in_padded_batches_are_those_of_plain_decoding(run_dir, loaded, penalty):
    model, tokenizer = loaded
    folder = run_dir("generate", {"prompts": PROMPTS}, {**GREEDY, "repetition_penalty": penalty})
    finished(folder)
    tokens = ChatTokens(tokenizer, "tiny")
    rows = {row["id"]: row for row in rows_of(folder / "outputs.jsonl")}
    assert sorted(rows) == [prompt["id"] for prompt in PROMPTS]
    for prompt in PROMPTS:
        answer = by_hand(model, tokens.prompt(prompt["messages"]), end_tokens(model, tokenizer), penalty)
        row = rows[prompt["id"]]
        assert row["text"] == tokenizer.decode(answer, skip_special_tokens=True).strip()
        assert row["tokens"] == len(answer)
        assert row["finish_reason"] == ("length" if len(answer) == 12 else "stop")
        assert row["latency_ms"] >= 0


def test_a_sampled_answer_depends_on_its_seed_and_not_on_its_batch(run_dir):
    settings = {"max_new_tokens": 12, "temperature": 1.0, "top_p": 0.95, "precision": "fp32", "n": 2}
    texts = []
    for name, more in (("a", {"batch_size": 1}), ("b", {"batch_size": 7}), ("c", {"batch_size": 7, "seed": 1})):
        folder = run_dir("generate", {"prompts": PROMPTS}, {**settings, **more}, name=name)
        finished(folder)
        texts.append({(row["id"], row["index"]): row["text"] for row in rows_of(folder / "outputs.jsonl")})
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert len(texts[0]) == 18
    assert any(texts[0][f"p{n}", 0] != texts[0][f"p{n}", 1] for n in range(9))


@pytest.mark.parametrize("top_p", [0.8, 1.0])
def test_sampling_draws_from_the_models_probabilities(loaded, top_p):
    """The first token of 4,000 answers against softmax at the temperature, cut at top_p."""
    model, tokenizer = loaded
    prompt = ChatTokens(tokenizer, "tiny").prompt([user("say a")])
    many, temperature = 4000, 2.0
    how = Decoding(max_new_tokens=1, temperature=temperature, top_p=top_p)
    answers = decode(model, [prompt] * many, how, seeds=list(range(many)), ends=set(), pad=0)
    drawn = torch.bincount(torch.tensor([answer.tokens[0] for answer in answers]), minlength=tokenizer.vocab_size + 8)
    chances = (model(torch.tensor([prompt])).logits[0, -1] / temperature).softmax(-1)
    ordered, order = chances.sort(descending=True)
    kept = order[ordered.cumsum(0) - ordered < top_p]
    expected = torch.zeros_like(chances)
    expected[kept] = chances[kept] / chances[kept].sum()
    assert 2 < len(kept) < len(chances) + (top_p == 1)
    assert (drawn[: len(chances)] / many - expected).abs().max() < 0.03
    assert drawn.sum() == drawn[kept].sum()


def test_a_prompt_that_is_asked_several_times_goes_through_the_model_once(loaded):
    model, tokenizer = loaded
    tokens, widths = ChatTokens(tokenizer, "tiny"), []
    long, short = (tokens.prompt([user(text)]) for text in ("say red and then say blue", "say two"))
    prompts, how = [short, long, short, short, long], Decoding(max_new_tokens=8, temperature=1.0)
    handle = model.get_input_embeddings().register_forward_pre_hook(lambda _, given: widths.append(len(given[0])))
    together = decode(model, prompts, how, seeds=list(range(5)), ends=set(), pad=0)
    handle.remove()
    alone = [decode(model, [one], how, seeds=[n], ends=set(), pad=0)[0] for n, one in enumerate(prompts)]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
    assert widths == [2] + 7 * [5]


def test_a_row_may_ask_for_its_own_number_and_system_prompt(run_dir, loaded, tiny):
    rows = [
        {"id": 1, "messages": [user("say a")], "n": 3},
        {"id": 2, "messages": [user("say a")], "system": "not good"},
        {"id": 3, "messages": [{"role": "system", "content": "yes"}, user("say a")]},
    ]
    folder = run_dir("generate", {"prompts": rows}, {**GREEDY, "system": "good"})
    finished(folder)
    found = rows_of(folder / "outputs.jsonl")
    assert sorted((row["id"], row["index"]) for row in found) == [(1, 0), (1, 1), (1, 2), (2, 0), (3, 0)]
    model, tokenizer = loaded
    for id, system in ((1, "good"), (2, "not good"), (3, "yes")):
        prompt = ChatTokens(tokenizer, "").prompt([{"role": "system", "content": system}, user("say a")])
        expected = tokenizer.decode(by_hand(model, prompt, end_tokens(model, tokenizer)), skip_special_tokens=True)
        assert {row["text"] for row in found if row["id"] == id} == {expected.strip()}


def test_an_adapter_writes_its_own_answers(run_dir, tiny):
    rows = [{"messages": [user(f"say {word}"), assistant(word)]} for word in WORDS[:8]]
    settings = {"max_steps": 80, "learning_rate": 0.02, "precision": "fp32"}
    tuned = run_dir("sft", {"train": rows}, settings, name="tuned")
    finished(tuned)
    base = {"path": str(tiny), "adapter": str(tuned / "adapter")}
    prompts = [{"id": word, "messages": [user(f"say {word}")]} for word in WORDS[:8]]
    folder = run_dir("generate", {"prompts": prompts}, GREEDY, base=base, name="answers")
    finished(folder)
    assert all(row["text"] == row["id"] for row in rows_of(folder / "outputs.jsonl"))


def test_progress_is_told(run_dir):
    folder = run_dir("generate", {"prompts": PROMPTS}, GREEDY)
    result = finished(folder)
    assert result["rows"] == 9
    assert result["tokens_per_second"] > 0
    told = [event for event in events(folder, "status") if event["phase"] == "generating"]
    assert [event["step"] for event in told][:4] == [0, 4, 8, 9]
    assert told[1]["eta_seconds"] >= 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"messages": [user("say a")]}], 'line 1: a prompt must have an "id"'),
        ([{"id": 1, "messages": [user("a")]}] * 2, "line 2: the id 1 occurred before"),
        ([{"id": 1, "messages": [{"role": "assistant", "content": "a"}]}], "ends with an answer"),
        ([{"id": 1, "messages": [user("a")], "n": 0}], '"n" must be a whole number'),
        ([], "has no usable row"),
    ],
)
def test_bad_prompts_are_told(run_dir, rows, said):
    assert said in failure(run_dir("generate", {"prompts": rows}))[1]


def test_ids_keep_their_type(run_dir):
    rows = [{"id": 1, "messages": [user("a")]}, {"id": "1", "messages": [user("a")]}]
    folder = run_dir("generate", {"prompts": rows}, GREEDY)
    finished(folder)
    assert {json.dumps(row["id"]) for row in rows_of(folder / "outputs.jsonl")} == {"1", '"1"'}
