"""Rollouts by vLLM: what is refused, and, where it is installed, that it writes what our own decoder would."""

import gc
import importlib.util
import os
import signal

import psutil
import pytest
import torch
from online_cast import LEARN, moved, objective_of, prompt_rows
from training_cast import events, failure, finished, tiny_model

from training.config import PpoSettings
from training.data import Example
from training.networks.decoding import Decoding, decode, end_tokens
from training.networks.scoring import example_batch
from training.online.rollout import logprobs_and_entropy
from training.online.vllm_rollout import VllmEngine
from training.recipes.ppo import Episodes

VLLM = {**LEARN, "rollout_engine": "vllm", "vllm_memory": 0.06}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "qlora"}, "use method lora"),
        ({"method": "full"}, "use method lora"),
        ({"lora_variant": "dora"}, "use lora_variant lora or rslora"),
        ({}, "is not installed here (pip install vllm"),
    ],
)
def test_where_vllm_cannot_write_the_run_says_so_at_once(run_dir, monkeypatch, settings, said):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "vllm" else real(name, *more))
    folder = run_dir("grpo", {"train": prompt_rows(2)}, {**VLLM, **settings})
    kind, words = failure(folder)
    assert kind == "bad_setting"
    assert said in words
    assert "written by own" in words
    assert not any(event.get("phase") == "training" for event in events(folder, "status"))


# --- With vLLM -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """The tiny base with heads of 32, the least that vLLM's attention on a CPU knows."""
    return tiny_model(tmp_path_factory.mktemp("models") / "wide", width=128)


@pytest.fixture(scope="module")
def cast(wide):
    """(objective, roles, engine): a policy and a critic of a rank that vLLM has no room of its own for."""
    settings = PpoSettings(precision="fp32", lora_r=5, lora_variant="rslora", rollout_batch_size=8, vllm_memory=0.06)
    objective, roles = objective_of(Episodes, wide, settings)
    engine = VllmEngine(str(wide), roles.policy.dtype, settings, 64)
    yield objective, roles, engine
    engine.close()


def answers(cast, how: Decoding, seeds: list[int], *, by_vllm: bool):
    objective, roles, engine = cast
    prompts = [question.prompt for question in objective.prompts]
    prompts = [prompts[number % len(prompts)][: 4 + number] for number in range(len(seeds))]
    policy, ends = roles.acting(), end_tokens(roles.policy, objective.ready.tokenizer)
    if by_vllm:
        return engine(policy, prompts, how, seeds, ends, lambda: None)
    return decode(policy, prompts, how, seeds=seeds, ends=ends, pad=0)


@pytest.mark.vllm
def test_greedy_answers_are_our_own_decoders_before_and_after_the_weights_change(cast):
    how, seen = Decoding(max_new_tokens=12, temperature=0.0), []
    for seed in (None, 5, 6):
        if seed:
            moved(cast[1], seed)
        ours, theirs = (answers(cast, how, list(range(12)), by_vllm=by_vllm) for by_vllm in (False, True))
        told = [[(a.tokens, a.end, a.finish_reason) for a in found] for found in (ours, theirs)]
        assert told[0] == told[1]
        seen.append(told[0])
    assert len({str(one) for one in seen}) == 3, "each policy writes otherwise"
    assert {answer[2] for one in seen for answer in one} == {"stop", "length"}


@pytest.mark.vllm
def test_each_answer_follows_from_its_own_seed(cast):
    how = Decoding(max_new_tokens=8, temperature=1.0)
    seeds = [2**62 + number for number in range(4)]
    first, again = ([a.tokens for a in answers(cast, how, seeds, by_vllm=True)] for _ in range(2))
    others = [a.tokens for a in answers(cast, how, [seeds[0], 7, 8, 9], by_vllm=True)]
    assert first == again
    assert others[0] == first[0]
    assert others[1:] != first[1:]


@pytest.mark.vllm
def test_tokens_are_drawn_at_the_temperature_that_ratios_are_taken_at(cast):
    """4,000 first tokens against the policy's own probabilities at temperature 0.7."""
    objective, roles, engine = cast
    prompt, temperature, count = objective.prompts[0].prompt, 0.7, 4000
    ends = end_tokens(roles.policy, objective.ready.tokenizer)
    how = Decoding(max_new_tokens=1, temperature=temperature)
    drawn = engine(roles.acting(), [prompt] * count, how, list(range(count)), ends, lambda: None)
    seen = torch.zeros(roles.policy.config.vocab_size)
    for answer in drawn:
        seen[answer.end if answer.tokens == [] else answer.tokens[0]] += 1
    tokens = [Example(prompt, [token], None) for token in range(len(seen))]
    batches = [example_batch([one], 0, roles.device) for one in tokens]
    wanted = torch.cat([logprobs_and_entropy(roles.acting(), one, temperature)[0] for one in batches]).exp()
    assert wanted.sum().item() == pytest.approx(1, abs=1e-4)
    spread = (count * wanted * (1 - wanted)).sqrt() + 1
    assert ((seen - count * wanted).abs() < 5 * spread).all()


@pytest.mark.vllm
def test_grpo_learns_from_what_vllm_writes(run_dir, wide):
    settings, before = {**VLLM, "max_steps": 20, "learning_rate": 0.003, "missing_eos_penalty": 0.0}, engines()
    files = {"train": prompt_rows(), "validation": prompt_rows(2)}
    folder = run_dir("grpo", files, settings, base={"path": str(wide)})
    result = finished(folder)
    values = [event["values"] for event in events(folder, "metric") if event["split"] == "train"]
    assert result["steps"] == 20
    assert values[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert values[-1]["reward"] > values[0]["reward"] + 0.4
    assert engines() == before


def engines(pid: int | None = None) -> list:
    """vLLM's processes that are at work for a process, or for this one (those of `cast` among them)."""
    gc.collect()
    found = [one for one in psutil.Process(pid).children(recursive=True) if "vllm" in one.name().lower()]
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.vllm
def test_stopped_while_vllm_writes_it_goes_on_from_the_checkpoint(run_dir, wide, monkeypatch):
    real, told, before = VllmEngine._written, [], engines()

    def written(self, *given):
        told.append(1)
        if len(told) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, *given)

    monkeypatch.setattr(VllmEngine, "_written", written)
    folder = run_dir("rloo", {"train": prompt_rows()}, {**VLLM, "max_steps": 4}, base={"path": str(wide)})
    assert finished(folder)["status"] == "stopped"
    assert finished(folder)["steps"] == 4
    steps = [event["step"] for event in events(folder, "metric") if event["split"] == "train"]
    assert steps == [1, 2, 3, 4]
    assert engines() == before


@pytest.mark.vllm
def test_a_killed_training_leaves_nothing_of_vllm_behind(run_dir, wide, start):
    settings = {**VLLM, "max_steps": 10_000, "learning_rate": 0.001}
    folder = run_dir("grpo", {"train": prompt_rows()}, settings, base={"path": str(wide)})
    training = start(folder)
    log = folder / "events.jsonl"
    training.wait_for(lambda: log.exists() and '"type": "metric"' in log.read_text(), 300)
    left = engines(training.process.pid)
    assert left
    training.kill()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert alive == []


@pytest.mark.vllm
def test_a_base_that_vllm_will_not_have_is_told_in_words(run_dir, tiny):
    """Heads of 8."""
    folder = run_dir("grpo", {"train": prompt_rows()}, {**VLLM, "max_steps": 1})
    kind, words = failure(folder)
    assert (kind, "vLLM could not be started" in words) == ("bad_setting", True)
