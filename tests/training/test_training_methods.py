"""What is trained: an adapter, beside a base of 16 or of few bits, the last layers, the head, everything."""

import json

import pytest
import torch
from peft.utils.integrations import dequantize_module_weight
from safetensors.torch import load_file
from training_cast import assistant, echo_rows, events, failure, finished, preference_rows, rows_of, tiny_model, user

from training import data
from training.config import DpoSettings, SftSettings
from training.models import Base, attach_lora, load_base, load_policy, load_tokenizer
from training.networks.scoring import pair_batch
from training.recipes.sft import AnswerLikelihood
from training.rewards.reward_model import reward_load, rewards

QUANTISED = ["nf4", "int8"]


def thumbs_rows() -> list[dict]:
    return [
        {"prompt": row["prompt"], "completion": row[key], "label": key == "chosen"}
        for row in preference_rows()
        for key in ("chosen", "rejected")
    ]


ROWS = {"sft": echo_rows, "kto": thumbs_rows}


def likelihood(folder) -> AnswerLikelihood:
    tokens = data.ChatTokens(load_tokenizer(str(folder)), "tiny")
    rows = [(data.Place("t", n), row) for n, row in enumerate(echo_rows(), 1)]
    return AnswerLikelihood(data.examples(tokens, rows, data.Fitting(128)), 0)


@pytest.mark.parametrize("recipe", ["sft", "dpo", "kto", "orpo", "simpo", "reward"])
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "qlora"},
        {"method": "frozen", "trained_layers": 1},
        {"method": "frozen", "trained_layers": 0},
        {"method": "full"},
        {"lora_variant": "rslora"},
        {"lora_variant": "dora"},
    ],
    ids=["qlora", "last layer", "head", "full", "rslora", "dora"],
)
def test_each_recipe_learns_by_each_method(run_dir, recipe, settings):
    rows = ROWS.get(recipe, preference_rows)()
    rate = 0.003 if settings.get("method") == "full" else 0.01
    asked = {"max_steps": 12, "learning_rate": rate, "precision": "fp32", "sample_count": 0, "seed": 1, **settings}
    folder = run_dir(recipe, {"train": rows, "validation": rows[:8]}, asked)
    result = finished(folder)
    metrics = result["metrics"]
    assert metrics["validation_loss"] < 0.98 * metrics["validation_before_loss"]
    whole = settings.get("method") in ("full", "frozen") and (recipe, settings.get("trained_layers")) != ("reward", 0)
    assert ("model_path" in result, "adapter_path" in result) == (whole, not whole)


@pytest.mark.parametrize("quantisation", QUANTISED)
def test_gradients_are_right_after_an_evaluation(tiny, quantisation):
    """bitsandbytes repacks 4-bit weights in a forward without gradients, and its backward is wrong from then on."""
    objective = likelihood(tiny)
    model = attach_lora(load_base(str(tiny), "bf16", quantisation), SftSettings())
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)

    def gradients() -> torch.Tensor:
        model.train().zero_grad()
        objective.loss(model, list(range(16)))[0].backward()
        return torch.cat([weight.grad.flatten().float() for weight in model.parameters() if weight.grad is not None])

    before = gradients()
    with torch.no_grad():
        objective.loss(model.eval(), list(range(16)))
    after = gradients()
    torch.testing.assert_close(after, before, rtol=0.02, atol=0.02 * before.abs().max().item())
    # And they are those of the weights that the few bits stand for, computed in 32.
    exact = load_base(str(tiny), "fp32")
    few = dict(load_base(str(tiny), "bf16", quantisation).named_modules())
    with torch.no_grad():
        for name, module in exact.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                module.weight.copy_(dequantize_module_weight(few[name]))
    exact = attach_lora(exact, SftSettings())
    exact.load_state_dict({name: weight for name, weight in model.state_dict().items() if "lora" in name}, strict=False)
    model = exact
    assert torch.cosine_similarity(before, gradients(), dim=0) > 0.97


@pytest.mark.parametrize("quantisation", QUANTISED)
def test_a_quantised_base_needs_less_memory_and_its_adapter_serves_the_16_bit_one(run_dir, tiny, quantisation):
    settings = {"method": "qlora", "quantisation": quantisation, "max_steps": 60, "learning_rate": 0.02}
    folder = run_dir("sft", {"train": echo_rows()}, settings)
    result = finished(folder)
    linear = {"nf4": "Linear4bit", "int8": "Linear8bitLt"}[quantisation]
    held = load_base(str(tiny), "bf16", quantisation)
    assert type(held.model.layers[0].mlp.up_proj).__name__ == linear
    assert held.get_memory_footprint() < load_base(str(tiny), "bf16").get_memory_footprint()
    assert result["base_path"] == str(tiny)
    rows = [{"id": n, "messages": row["messages"][:1]} for n, row in enumerate(echo_rows())]
    base = {"path": str(tiny), "adapter": str(folder / "adapter")}
    for name, asked in (("sixteen", base), ("few", {**base, "quantisation": quantisation})):
        answers = run_dir("generate", {"prompts": rows}, {"max_new_tokens": 4}, base=asked, name=name)
        finished(answers)
        said = [row["text"] for row in rows_of(answers / "outputs.jsonl")]
        right = [row["messages"][1]["content"] for row in echo_rows()]
        assert sum(a == b for a, b in zip(said, right, strict=True)) >= 14


@pytest.mark.parametrize("settings", [{"lora_variant": "rslora"}, {"lora_variant": "dora"}], ids=str)
def test_a_variant_of_lora_gives_the_same_logits_once_it_is_loaded_again(run_dir, tiny, settings):
    """What training measured last, the saved adapter says again, beside the base and merged into it."""
    rows = preference_rows()
    asked = {"max_steps": 10, "learning_rate": 0.01, "precision": "fp32", "lora_r": 4, **settings}
    folder = run_dir("dpo", {"train": rows, "validation": rows}, asked)
    metrics = finished(folder)["metrics"]
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert config[{"rslora": "use_rslora", "dora": "use_dora"}[settings["lora_variant"]]] is True
    base = Base(str(tiny), folder / "adapter")
    tokens = data.ChatTokens(load_tokenizer(str(tiny)), "tiny")
    pairs = data.pairs(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows)], data.Fitting(128))
    from training.recipes.dpo import Preference

    for merge in (False, True):
        objective = Preference(pairs, 0, DpoSettings(), frozen=load_base(str(tiny), "fp32"))
        _, values = objective.loss(load_policy(base, "fp32", merge=merge), list(range(len(rows))))
        assert values["margin"] / len(rows) == pytest.approx(metrics["validation_margin"], rel=1e-3)


@pytest.mark.parametrize(
    ("layers", "changed"),
    [(1, {"model.layers.1", "model.norm"}), (0, {"lm_head"})],
)
def test_frozen_changes_only_what_it_says(run_dir, tmp_path, layers, changed):
    """Also where head and embedding share their weights: the embedding stays."""
    from transformers import AutoModelForCausalLM

    tied = tiny_model(tmp_path / "tied")
    model = AutoModelForCausalLM.from_pretrained(tied, dtype=torch.float32)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tied)
    asked = {"method": "frozen", "trained_layers": layers, "max_steps": 5, "learning_rate": 0.01, "precision": "fp32"}
    folder = run_dir("dpo", {"train": preference_rows()}, asked, base={"path": str(tied)})
    result = finished(folder)
    assert events(folder, "metric")[0]["values"]["loss"] == pytest.approx(0.693147, abs=1e-5)
    before = AutoModelForCausalLM.from_pretrained(tied, dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(result["model_path"], dtype=torch.float32)
    of_before = {**dict(before.named_parameters()), "lm_head.weight": before.lm_head.weight}
    of_after = {**dict(after.named_parameters()), "lm_head.weight": after.lm_head.weight}
    different = {name for name, weight in of_before.items() if not torch.equal(weight, of_after[name])}
    assert different
    assert {name for name in different if not name.startswith(tuple(changed))} == set()
    assert {part for part in changed if not any(name.startswith(part) for name in different)} == set()


def test_a_reward_model_whose_base_was_trained_scores_as_in_training(run_dir):
    rows = preference_rows()
    asked = {"method": "full", "max_steps": 20, "learning_rate": 0.003, "precision": "fp32", "heads": 2}
    folder = run_dir("reward", {"train": rows[:12], "validation": rows[12:]}, asked)
    result = finished(folder)
    model = reward_load(Base(result["model_path"]), "fp32")
    tokens = data.ChatTokens(load_tokenizer(result["model_path"]), "tiny")
    pairs = data.pairs(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows[12:])], data.Fitting(128))
    found = rewards(model, pair_batch(pairs, 0, model.device)).mean(dim=1).view(-1, 2)
    assert (found[:, 0] - found[:, 1]).mean().item() == pytest.approx(result["metrics"]["validation_margin"], rel=1e-4)
    answer = {"id": 1, "prompt": [user("what is a ?")], "completion": [assistant("good")]}
    scored = run_dir("score", {"answers": [answer]}, reward={"path": result["model_path"], "adapter": ""}, name="score")
    finished(scored)
    assert len(rows_of(scored / "scores.jsonl")[0]["heads"]) == 2


def test_weights_of_few_bits_cannot_be_trained_themselves(run_dir, tiny):
    base = {"path": str(tiny), "quantisation": "nf4"}
    kind, words = failure(run_dir("sft", {"train": echo_rows()}, {"method": "full"}, base=base))
    assert kind == "bad_setting"
    assert "Use qlora" in words


@pytest.mark.parametrize("recipe", ["dpo", "reward"])
def test_an_adapter_on_the_last_layers_leaves_the_others_as_they_are(run_dir, tiny, recipe):
    """It learns, nothing below it is changed or kept for a backward pass, and it is loaded again as it was."""
    rows = preference_rows()
    asked = {"max_steps": 12, "learning_rate": 0.01, "precision": "fp32", "lora_layers": 1}
    folder = run_dir(recipe, {"train": rows, "validation": rows}, asked)
    metrics = finished(folder)["metrics"]
    assert metrics["validation_loss"] < 0.98 * metrics["validation_before_loss"]
    kept = load_file(folder / "adapter" / "adapter_model.safetensors")
    layers = {name.split(".layers.")[1].split(".")[0] for name in kept if ".layers." in name}
    assert layers == {"1"}
    assert len([name for name in kept if "lora_A" in name]) == 7  # q, k, v, o, gate, up, down
    measured = run_dir(
        "evaluate",
        {"texts": echo_rows()},
        {"suite": "perplexity", "precision": "fp32"},
        base={"path": str(tiny), "adapter": str(folder / "adapter")},
        name="again",
    )
    found = finished(measured)["metrics"]
    if recipe == "dpo":
        changed = found["perplexity"]["value"] / found["base_perplexity"]["value"]
        assert abs(changed - 1) > 1e-3


def test_an_adapter_on_more_layers_than_there_are_is_one_on_all(tiny):
    many = attach_lora(load_base(str(tiny), "fp32"), SftSettings(lora_layers=99))
    everywhere = attach_lora(load_base(str(tiny), "fp32"), SftSettings())
    assert set(many.state_dict()) == set(everywhere.state_dict())
