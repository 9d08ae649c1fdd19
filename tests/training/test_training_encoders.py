"""Reward models on encoders: rows as their tokenizers make them, a known preference learnt, one score everywhere."""

import json

import pytest
import torch
from encoder_cast import tiny_encoder
from training_cast import assistant, failure, finished, preference_rows, rows_of, user

from training import data
from training.models import Base, load_tokenizer
from training.networks.reading import tokens_of
from training.rewards.encoders import encoder_batch, layout_of, load_encoder
from training.rewards.reward_model import RewardModel, reward_load, rewards

LEARN = {"max_steps": 60, "learning_rate": 0.01, "precision": "fp32", "heads": 2, "batch_size": 8}


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """encoder(kind, **config) → a base, made once."""
    made = {}

    def make(kind="bert", **config):
        key = kind, *config.items()
        if key not in made:
            made[key] = tiny_encoder(tmp_path_factory.mktemp(kind) / "encoder", kind, **config)
        return made[key]

    return make


def examples_of(folder, rows: list[dict], max_length: int = 64) -> list[data.Example]:
    """Chosen and rejected answers of preference rows, by turns."""
    tokens, fitting = tokens_of(load_tokenizer(str(folder)), str(folder)), data.Fitting(max_length)
    answers = [{"prompt": row["prompt"], "completion": row[key]} for row in rows for key in ("chosen", "rejected")]
    return data.answered(tokens, [(data.Place("t", n), row) for n, row in enumerate(answers, 1)], fitting)


def opinionated(folder, heads: int) -> RewardModel:
    """A reward model on this encoder whose heads have something to say: one that is new says 0 of every answer."""
    tokenizer, policy = load_tokenizer(str(folder)), load_encoder(str(folder), "fp32")
    model = RewardModel(policy, heads, layout_of(tokenizer, policy)).eval()
    torch.nn.init.normal_(model.heads, std=0.2, generator=torch.Generator().manual_seed(3))
    return model


@pytest.mark.parametrize("kind", ["bert", "modernbert", "roberta"])
def test_rows_are_what_the_tokenizer_makes_of_two_texts_and_scores_what_the_encoder_makes_of_them(encoder, kind):
    folder = encoder(kind)
    tokenizer, model = load_tokenizer(str(folder)), opinionated(folder, heads=2)
    rows = preference_rows()[:4]
    texts = [(row["prompt"][0]["content"], row[key][0]["content"]) for row in rows for key in ("chosen", "rejected")]
    theirs = tokenizer(*map(list, zip(*texts)), padding=True, return_tensors="pt")
    batch = encoder_batch(examples_of(folder, rows), model.layout, "cpu")
    assert batch.ids.tolist() == theirs["input_ids"].tolist()
    assert batch.mask.tolist() == theirs["attention_mask"].tolist()
    if "token_type_ids" in theirs:
        assert batch.segments.tolist() == theirs["token_type_ids"].tolist()
    states = model.policy(**theirs).last_hidden_state
    torch.testing.assert_close(rewards(model, batch), states[:, 0] @ model.heads.T)
    for number, example in enumerate(examples_of(folder, rows)):
        alone = rewards(model, model.example_batch([example], 0))
        torch.testing.assert_close(alone[0], rewards(model, batch)[number], rtol=1e-4, atol=1e-5)


def test_the_mean_is_of_what_is_no_padding(encoder):
    folder = encoder("modernbert", classifier_pooling="mean")
    model = opinionated(folder, heads=1)
    short, long = (examples_of(folder, preference_rows()[3:4])[side] for side in (1, 0))
    found = rewards(model, model.example_batch([short, long], 0))
    ids = torch.tensor([[1, *short.prompt, *short.answer]])
    torch.testing.assert_close(found[:1], model.policy(input_ids=ids).last_hidden_state.mean(1) @ model.heads.T)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("bert", {"method": "lora"}),
        ("modernbert", {"method": "lora", "lora_variant": "rslora"}),
        ("bert", {"method": "full", "learning_rate": 0.002}),
        ("modernbert", {"method": "frozen", "trained_layers": 1}),
        ("bert", {"method": "frozen", "max_steps": 150, "learning_rate": 0.03}),
    ],
)
def test_a_known_preference_is_learnt_and_reloaded_exactly(run_dir, encoder, kind, settings):
    rows, base = preference_rows(), encoder(kind)
    folder = run_dir(
        "reward", {"train": rows[:12], "validation": rows[12:]}, {**LEARN, **settings}, base={"path": str(base)}
    )
    result = finished(folder)
    assert result["metrics"]["validation_accuracy"] == pytest.approx(1)
    assert {"longer", "tfidf"} == set(result["calibration"]["baselines"])
    whole = settings["method"] == "full" or settings.get("trained_layers")
    made = Base(str(folder / "model")) if whole else Base(str(base), folder / "adapter")
    model = reward_load(made, "fp32")
    found = rewards(model, model.example_batch(examples_of(base, rows[12:]), 0)).mean(dim=1).view(-1, 2)
    assert (found[:, 0] - found[:, 1]).mean().item() == pytest.approx(result["metrics"]["validation_margin"], rel=1e-4)
    if settings["method"] == "lora":
        config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
        assert all("attn" in name or "query" in name or "key" in name or "value" in name or "attention" in name
                   for name in config["target_modules"])  # fmt: skip


def test_score_and_grpo_say_the_same_of_the_same_answers(run_dir, encoder, tiny):
    """An encoder judges a causal policy: another family, another tokenizer, one number."""
    rows, base = preference_rows(), encoder()
    trained = run_dir(
        "reward", {"train": rows[:12], "validation": rows[12:]}, {**LEARN, "max_steps": 10}, name="reward",
        base={"path": str(base)},
    )  # fmt: skip
    finished(trained)
    reward = {"path": str(base), "adapter": str(trained / "adapter")}
    told = [{"id": n, "prompt": row["prompt"], "completion": row["chosen"]} for n, row in enumerate(rows[:5])]
    score = run_dir("score", {"answers": told}, {"precision": "fp32", "batch_size": 2}, name="score", reward=reward)
    finished(score)
    said = [row["reward"] for row in rows_of(score / "scores.jsonl")]
    model = reward_load(Base(str(base), trained / "adapter"), "fp32")
    found = rewards(model, model.example_batch(examples_of(base, rows[:5])[::2], 0)).mean(1) / model.temperature
    assert said == pytest.approx(found.tolist(), rel=1e-4)

    evaluated = run_dir(
        "evaluate", {"predictions": told}, {"suite": "reward", "precision": "fp32"}, name="evaluated", reward=reward
    )
    assert finished(evaluated)["metrics"]["reward"]["value"] == pytest.approx(sum(said) / 5, rel=1e-4)

    from online_cast import prepared

    from training.config import GrpoSettings
    from training.directory import RunDirectory
    from training.online.judge import judge_of
    from training.online.roles import Roles

    settings = GrpoSettings(precision="fp32", max_length=128)
    ready = prepared(tiny, settings)
    roles = Roles(ready, settings)
    run = run_dir("grpo", {}, name="judge")
    judge = judge_of(RunDirectory(run), {"reward": reward}, settings, ready, roles)
    questions, texts = [row["prompt"] for row in rows[:5]], [row["chosen"][0]["content"] for row in rows[:5]]
    opinions, _ = judge(questions, texts, lambda: None, 3)
    assert opinions == pytest.approx(said, rel=1e-4)

    settings = {"max_steps": 2, "precision": "fp32", "num_generations": 4, "max_new_tokens": 4, "batch_size": 8}
    learnt = run_dir(
        "grpo", {"train": [{"prompt": row["prompt"]} for row in rows]}, settings, name="grpo", reward=reward
    )
    assert finished(learnt)["steps"] == 2


def test_a_prompt_that_is_too_long_for_the_encoder_loses_its_beginning(encoder):
    for kind in ("bert", "roberta"):
        folder = encoder(kind)
        long = {"prompt": [user("a b c d " * 40)], "chosen": [assistant("good")], "rejected": [assistant("bad")]}
        example, _ = examples_of(folder, [long], max_length=1024)
        assert 1 + example.length == 64, "as many as it has positions"
        model = opinionated(folder, heads=1)
        assert rewards(model, model.example_batch([example], 0)).isfinite().all()


def test_several_messages_are_a_line_each(encoder):
    tokens = tokens_of(load_tokenizer(str(encoder())), str(encoder()))
    assert tokens.prompt([user("a b")]) == tokens.prompt([{"role": "user", "content": "a b"}])
    several = tokens.prompt([{"role": "system", "content": "a"}, user("b")])
    assert len(several) == 4, "with the roles, which these words are not in the vocabulary of"


def test_wrong_use_is_told_in_words(run_dir, encoder):
    base, rows = {"path": str(encoder())}, preference_rows()
    for recipe in ("sft", "dpo", "kto", "orpo", "simpo", "grpo", "generate"):
        kind, words = failure(run_dir(recipe, {"train": rows}, {}, base=base, name=recipe))
        assert kind == "bad_run"
        assert "is an encoder (bert): it reads texts and writes none" in words
    kind, words = failure(run_dir("evaluate", {"texts": []}, {"suite": "perplexity"}, base=base, name="evaluate"))
    assert (kind, "evaluate cannot use it" in words) == ("bad_run", True)
    kind, words = failure(run_dir("reward", {"train": rows}, {"method": "qlora"}, base=base, name="qlora"))
    assert (kind, "use lora, frozen or full" in words) == ("bad_setting", True)
    of = {"recipe": "sft", "settings": {}}
    kind, words = failure(run_dir("estimate", {"train": rows}, {}, base=base, name="estimate", of=of))
    assert (kind, "sft cannot use it" in words) == ("bad_run", True)
