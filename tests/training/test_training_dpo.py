"""DPO: the loss by hand and by TRL, the prompt shared exactly, a preference learnt."""

import json
import math

import pytest
import torch
from training_cast import assistant, events, finished, preference_rows, tiny_model, user

from training import data
from training.config import DpoSettings
from training.errors import TrainingError
from training.models import Base, attach_lora, load_base, load_policy, load_tokenizer
from training.networks.scoring import answer_logprobs, answer_logprobs_shown, example_batch, pair_batch
from training.recipes.dpo import Preference, preference_losses

LEARN = {"max_steps": 40, "learning_rate": 0.01, "precision": "fp32"}


def pairs_of(folder, rows: list[dict]) -> list[data.Pair]:
    tokens = data.ChatTokens(load_tokenizer(str(folder)), "tiny")
    return data.pairs(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows, 1)], data.Fitting(128))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Other weights of the same shape: a policy that differs from its reference."""
    return tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


def test_the_loss_by_hand():
    log_ratios, lengths = torch.tensor([[2.0, -1.0], [0.5, 0.5]]), torch.tensor([[4.0, 2.0], [1.0, 1.0]])
    sigmoid = preference_losses(log_ratios, lengths, beta=0.1, kind="sigmoid")
    torch.testing.assert_close(sigmoid, torch.tensor([-math.log(1 / (1 + math.exp(-0.3))), math.log(2)]))
    ipo = preference_losses(log_ratios, lengths, beta=0.1, kind="ipo")
    torch.testing.assert_close(ipo, torch.tensor([(2 / 4 + 1 / 2 - 5) ** 2, 25.0]))


@pytest.fixture(scope="module")
def trl(tiny, other, tmp_path_factory):
    """(TRL's trainer of the pairs, its one batch, chosen answers first)."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = preference_rows()
    config = DPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")),
        beta=0.3,
        label_smoothing=0.2,
        per_device_train_batch_size=len(rows),
        train_sampling_strategy="sequential",
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=load_base(str(other), "fp32"),
        ref_model=load_base(str(tiny), "fp32"),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(str(tiny)),
    )
    return trainer, next(iter(trainer.get_train_dataloader()))


@pytest.mark.parametrize(
    "loss",
    [
        *("sigmoid", "sigmoid_norm", "ipo", "robust", "hinge", "apo_zero", "apo_down", "sppo_hard", "bco_pair"),
        "sigmoid 0.8 + bco_pair 0.2 + sft 1",
    ],
)
def test_loss_and_rewards_are_those_of_trl(tiny, other, trl, loss):
    trainer, batch = trl
    parts = [part.split() for part in loss.split("+")]
    trainer.loss_types = [part[0] for part in parts]
    trainer.loss_weights = [float(weight) for _, weight in parts] if len(parts) > 1 else [1.0]
    rows = list(range(0, 16, 4)) if len(parts) > 1 else list(range(16))  # sft: the same where lengths are
    taken = torch.tensor(rows + [16 + row for row in rows])
    theirs = trainer.compute_loss(trainer.model.train(), {name: value[taken] for name, value in batch.items()})
    shown = {name: values[-1] for name, values in trainer._metrics["train"].items()}

    asked = {"loss_mixture": loss} if len(parts) > 1 else {"loss": loss}
    settings = DpoSettings.from_dict({"beta": 0.3, "label_smoothing": 0.2, **asked})
    objective = Preference(pairs_of(tiny, preference_rows()), 0, settings, frozen=load_base(str(tiny), "fp32"))
    ours, values = objective.loss(load_base(str(other), "fp32"), rows)
    torch.testing.assert_close(ours / len(rows), theirs, rtol=1e-5, atol=1e-5)
    for name, of_trl in (("chosen_reward", "chosen"), ("rejected_reward", "rejected"), ("margin", "margins")):
        assert values[name] / len(rows) == pytest.approx(shown[f"rewards/{of_trl}"], abs=1e-5)
    assert values["accuracy"] / len(rows) == pytest.approx(shown["rewards/accuracies"])
    assert "entropy" not in values, "it would delay the training"
    with torch.no_grad():
        pairs = [objective.rows[row] for row in rows]
        _, lengths, known = answer_logprobs_shown(load_base(str(other), "fp32"), pair_batch(pairs, 0, "cpu"))
    of_tokens = (known["entropy"] * lengths).sum() / lengths.sum()
    assert of_tokens.item() == pytest.approx(shown["entropy"], rel=1e-4)


def test_a_margin_asks_for_more_where_raters_were_sure(tiny, other):
    """ODPO by hand: −log σ(βΔ − αm), with the rows' own margins."""
    rows = [{**row, "margin": number / 4} for number, row in enumerate(preference_rows()[:4])]
    model, parent = load_base(str(other), "fp32"), load_base(str(tiny), "fp32")
    plain, asked = (
        Preference(pairs_of(tiny, rows), 0, DpoSettings(margin=margin), frozen=parent) for margin in (0.0, 2.0)
    )
    for row in range(4):
        margin = plain.loss(model, [row])[1]["margin"]
        expected = math.log(1 + math.exp(-(margin - 2.0 * row / 4)))
        assert asked.loss(model, [row])[0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "mixture", ["sigmoid", "sigmoid 1 + magic 2", "sigmoid 1, sft 2", "sigmoid -1", "sigmoid 1 +", "sigmoid 1..2"]
)
def test_a_mixture_that_is_none_is_refused(mixture):
    with pytest.raises(TrainingError, match="loss_mixture is not written as its help says"):
        DpoSettings.from_dict({"loss_mixture": mixture})


def test_a_shared_prompt_changes_neither_value_nor_gradient(tiny):
    """Each answer in a row of its own, padded and causal, against both behind one prompt."""
    pairs = pairs_of(tiny, preference_rows())
    gradients, values = [], []
    for shared in (True, False):
        model = load_base(str(tiny), "fp32").train()
        if shared:
            found, lengths = answer_logprobs(model, pair_batch(pairs, 0, "cpu"))
        else:
            alone = [data.Example(p.prompt, answer, 0) for p in pairs for answer in (p.chosen, p.rejected)]
            found, lengths = answer_logprobs(model, example_batch(alone, 0, "cpu"))
        (found.view(-1, 2) @ torch.tensor([1.0, -0.7])).sum().backward()
        values.append((found.detach(), lengths))
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-4)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99999
    torch.testing.assert_close(gradients[0].norm(), gradients[1].norm(), rtol=1e-4, atol=1e-4)


def test_answers_stand_apart_where_sharing_would_cost_more(tiny):
    """By the work that each form is; both give the same numbers in the same order."""
    from training.networks.scoring import answers_batch, pairs_apart

    assert not pairs_apart(256 + 2 * 32, 256 + 32, width=576)
    assert not pairs_apart(64 + 2 * 128, 64 + 128, width=576)
    assert pairs_apart(50 + 2 * 500, 50 + 500, width=576)
    model, pairs = load_base(str(tiny), "fp32"), pairs_of(tiny, preference_rows()[:4])
    long = [data.Pair(pair.prompt[-2:], pair.chosen * 30, pair.rejected * 30, (1, 1), 0) for pair in pairs]
    apart = answers_batch(long, 0, model)
    assert apart.ids.shape[0] == 8
    assert answers_batch(pairs[:1], 0, model).ids.shape[0] == 1
    torch.testing.assert_close(
        answer_logprobs(model, apart)[0], answer_logprobs(model, pair_batch(long, 0, "cpu"))[0], rtol=1e-4, atol=1e-3
    )


def test_the_reference_is_the_base_with_the_adapter_off(tiny):
    """At the start both are the same; once the adapter says something, the reference stays."""
    pairs = pairs_of(tiny, preference_rows())
    settings = DpoSettings(beta=0.1)
    model = attach_lora(load_base(str(tiny), "fp32"), settings)
    loss, values = Preference(pairs, 0, settings).loss(model, list(range(8)))
    assert loss.item() / 8 == pytest.approx(math.log(2), abs=1e-6)
    assert values["accuracy"] == 0
    before = Preference(pairs, 0, settings)._reference(model, list(range(8)), pair_batch(pairs[:8], 0, "cpu"))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    after = Preference(pairs, 0, settings)._reference(model, list(range(8)), pair_batch(pairs[:8], 0, "cpu"))
    torch.testing.assert_close(before, after)
    assert Preference(pairs, 0, settings).loss(model, list(range(8)))[0].item() / 8 != pytest.approx(math.log(2))


@pytest.mark.parametrize(
    "settings",
    [{}, {"loss": "ipo"}, {"loss_mixture": "robust 1 + sft 0.1"}, {"method": "full", "learning_rate": 0.003}],
)
def test_a_preference_is_learnt(run_dir, settings):
    rows = preference_rows()
    folder = run_dir("dpo", {"train": rows[:12], "validation": rows[12:]}, {**LEARN, **settings})
    metrics = finished(folder)["metrics"]
    assert metrics["validation_before_margin"] == pytest.approx(0, abs=1e-5)
    assert metrics["validation_accuracy"] == 1
    assert metrics["validation_margin"] > 0.3
    names = {"loss", "accuracy", "margin", "chosen_reward", "rejected_reward", "learning_rate"}
    assert names <= set(events(folder, "metric")[-2]["values"])


def test_a_round_from_a_parent_with_an_adapter_starts_from_its_merged_weights(run_dir, tiny, tmp_path):
    """The reference is the parent; the child's adapter belongs to the merged base that the result names."""
    parent = run_dir("dpo", {"train": preference_rows()}, LEARN, name="parent")
    finished(parent)
    base = {"path": str(tiny), "adapter": str(parent / "adapter"), "merged_cache": str(tmp_path / "merged")}
    child = run_dir("dpo", {"train": preference_rows()}, {**LEARN, "max_steps": 2}, base=base, name="child")
    result = finished(child)
    assert events(child, "metric")[0]["values"]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    (merged,) = (tmp_path / "merged").iterdir()
    assert result["base_path"] == str(merged)
    assert json.loads((child / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(merged)
    written = (merged / "model.safetensors").stat().st_mtime_ns
    finished(run_dir("dpo", {"train": preference_rows()}, {**LEARN, "max_steps": 1}, base=base, name="sibling"))
    assert (merged / "model.safetensors").stat().st_mtime_ns == written
    ids = torch.tensor([data.ChatTokens(load_tokenizer(str(tiny)), "").prompt([user("what is a ?")])])
    beside = load_policy(Base(str(tiny), parent / "adapter"), "fp32")(ids).logits
    assert (load_base(str(merged), "fp32")(ids).logits - beside).abs().max() < 0.05 * beside.abs().max()
    assert (load_base(str(tiny), "fp32")(ids).logits - beside).abs().max() > 0.2 * beside.abs().max()


def test_answers_may_be_texts_or_parts(tiny):
    parts = [{"type": "text", "text": "go"}, {"type": "text", "text": "od"}]
    rows = [
        {"prompt": "say a", "chosen": "good", "rejected": "bad"},
        {
            "prompt": [user("say a")],
            "chosen": [{"role": "assistant", "content": parts}],
            "rejected": [assistant("bad")],
            "margin": 0.5,
        },
    ]
    first, second = pairs_of(tiny, rows)
    assert (first.prompt, first.chosen, first.rejected) == (second.prompt, second.chosen, second.rejected)
