"""DPO, KTO, ORPO and SimPO on encoder–decoders: against transformers' own loss, and learnt to a known optimum."""

import math

import pytest
import torch
from seq2seq_cast import pairs_in, rows_in, tiny_bart, tiny_t5
from training_cast import assistant, events, finished, preference_rows, rows_of, user

from training.config import DpoSettings, KtoSettings, OrpoSettings, SimpoSettings
from training.data import labelled
from training.models import Base, attach_lora, dropout_off, load_base, load_policy, load_tokenizer
from training.networks.scoring import answer_logprobs, pair_batch
from training.recipes.dpo import Preference
from training.recipes.kto import Thumbs
from training.recipes.orpo import OddsRatio
from training.recipes.simpo import TargetMargin

LEARN = {"precision": "fp32", "batch_size": 8, "gradient_accumulation": 1, "max_steps": 60, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seq2seq")
    return {"t5": tiny_t5(folder / "t5", dropout=0.1), "bart": tiny_bart(folder / "bart")}


@pytest.fixture(scope="module", params=["t5", "bart"])
def base(request, bases):
    return bases[request.param]


def logprob(model, tokenizer, prompt: str, answer: str) -> tuple[torch.Tensor, int]:
    """(log π(answer | prompt), its tokens) by the model's own loss on a row by itself."""
    labels = tokenizer(text_target=answer, return_tensors="pt")["input_ids"]
    given = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    return -labels.shape[1] * model(**given, labels=labels).loss, labels.shape[1]


def texts(rows: list[dict]) -> list[tuple[str, str, str]]:
    return [tuple(row[key][0]["content"] for key in ("prompt", "chosen", "rejected")) for row in rows]


def moved(path):
    """A policy that differs from its parent: a LoRA with random numbers in it."""
    model = attach_lora(load_base(str(path), "fp32"), DpoSettings())
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    return model


def by_hand(path, rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(policy, reference, lengths) of chosen and rejected, each [pairs, 2]."""
    model, tokenizer = moved(path), load_tokenizer(str(path))
    with torch.no_grad():
        policy = [[logprob(model, tokenizer, p, answer) for answer in both] for p, *both in texts(rows)]
        with model.disable_adapter():
            reference = [[logprob(model, tokenizer, p, answer)[0] for answer in both] for p, *both in texts(rows)]
    return (
        torch.tensor([[float(one[0]) for one in pair] for pair in policy]),
        torch.tensor(reference),
        torch.tensor([[float(one[1]) for one in pair] for pair in policy]),
    )


def test_losses_of_pairs_are_those_of_an_independent_computation(base):
    """Rows of many lengths in one batch; each recipe's equation written out again, from transformers' numbers."""
    rows = preference_rows()[:6]
    pairs, numbers = pairs_in(base, rows), list(range(6))
    policy, reference, lengths = by_hand(base, rows)
    assert len(set(lengths.flatten().tolist())) > 2
    model = moved(base).eval()
    gain = policy - reference
    expected = torch.log1p(torch.exp(-0.3 * (gain[:, 0] - gain[:, 1]))).sum()
    found, values = Preference(pairs, 0, DpoSettings(beta=0.3)).loss(model, numbers)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert values["accuracy"] == (gain[:, 0] > gain[:, 1]).sum()
    means = policy / lengths
    expected = ((gain / lengths) @ torch.tensor([1.0, -1.0]) - 1 / (2 * 0.3)).square().sum()
    found, _ = Preference(pairs, 0, DpoSettings(beta=0.3, loss="ipo")).loss(model, numbers)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    odds = means.exp() / (1 - means.exp())
    expected = (-means[:, 0] + 0.5 * torch.log1p(odds[:, 1] / odds[:, 0])).sum()
    found, _ = OddsRatio(pairs, 0, OrpoSettings(beta=0.5)).loss(model, numbers)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    expected = torch.log1p(torch.exp(1.0 - 2 * (means[:, 0] - means[:, 1]))).sum()
    found, _ = TargetMargin(pairs, 0, SimpoSettings()).loss(model, numbers)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_losses_of_thumbs_are_those_of_an_independent_computation(base):
    """The reference point takes the answer of the row half the file away, to the prompt as it is."""
    rows = [
        {"prompt": row["prompt"], "completion": row[key], "label": key == "chosen"}
        for row in preference_rows()[:3]
        for key in ("chosen", "rejected")
    ]
    model, tokenizer = moved(base).eval(), load_tokenizer(str(base))
    asked = [row["prompt"][0]["content"] for row in rows]
    said = [row["completion"][0]["content"] for row in rows]

    def gains(answers: list[str]) -> torch.Tensor:
        with torch.no_grad():
            policy = torch.stack([logprob(model, tokenizer, *one)[0] for one in zip(asked, answers, strict=True)])
            with model.disable_adapter():
                parent = torch.stack([logprob(model, tokenizer, *one)[0] for one in zip(asked, answers, strict=True)])
        return policy - parent

    point = gains([said[(n + 3) % 6] for n in range(6)]).mean().clamp(min=0)
    own = gains(said)
    signs = torch.tensor([1.0 if row["label"] else -1.0 for row in rows])
    expected = (1 - torch.sigmoid(signs * 0.1 * (own - point))).sum()
    found, values = Thumbs(rows_in(base, rows, labelled), 0, KtoSettings()).loss(model, list(range(6)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert values["kl"] == pytest.approx(6 * point.item(), rel=1e-4, abs=1e-5)


def test_a_prompt_goes_through_the_encoder_once(base):
    """Both answers, and further pairs of the same prompt, are decoded from one reading; gradients as of each."""
    tokens = [{"prompt": [user("what is a ?")], "ranking": [["good"], ["one"], ["bad . ."]]}, preference_rows()[3]]
    pairs = pairs_in(base, tokens)
    assert len(pairs) == 4
    model, read = moved(base).eval(), []
    model.get_encoder().register_forward_pre_hook(
        lambda _, args, given: read.append(given["input_ids"].shape[0]), with_kwargs=True
    )

    def gradients(batches) -> torch.Tensor:
        model.zero_grad()
        for batch in batches:
            (answer_logprobs(model, pair_batch(batch, 0, model.device))[0] ** 2).sum().backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])

    together = gradients([pairs])
    assert read == [2]
    apart = gradients([[pair] for pair in pairs])
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-3 * apart.abs().max().item())


def test_dropout_of_the_base_does_not_stand_between_policy_and_parent(bases, run_dir):
    """T5 comes with it: the first loss is ln 2 all the same. An adapter's own, which is asked for, stays."""
    settings = {"max_steps": 1, "precision": "fp32"}
    folder = run_dir("dpo", {"train": preference_rows()}, settings, base={"path": str(bases["t5"])})
    finished(folder)
    assert events(folder, "metric")[0]["values"]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    for path in bases.values():
        model = load_base(str(path), "fp32")
        dropout_off(model)
        model = attach_lora(model, DpoSettings(lora_dropout=0.5, lora_targets="all-linear")).train()
        given = {"input_ids": torch.tensor([[4, 5, 6]]), "decoder_input_ids": torch.tensor([[0, 7]])}
        assert torch.equal(model(**given).logits, model(**given).logits), "B is zero: only the base could differ"
        assert sum(module.p > 0 for module in model.modules() if isinstance(module, torch.nn.Dropout)) > 10


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("dpo", {}),
        ("dpo", {"method": "full", "learning_rate": 0.003}),
        ("kto", {"beta": 0.5}),
        ("orpo", {"beta": 1.0}),
        ("simpo", {}),
    ],
    ids=["dpo", "dpo full", "kto", "orpo", "simpo"],
)
def test_a_known_preference_is_learnt(base, run_dir, recipe, settings):
    """`good` before `bad`, on prompts that were not trained on too; the saved weights prefer it as the trained did."""
    rows = preference_rows()
    if recipe == "kto":
        rows = [
            {"prompt": row["prompt"], "completion": row[key], "label": key == "chosen"}
            for row in rows
            for key in ("chosen", "rejected")
        ]
    cut = len(rows) * 3 // 4
    folder = run_dir(
        recipe, {"train": rows[:cut], "validation": rows[cut:]}, {**LEARN, **settings}, base={"path": str(base)}
    )
    result = finished(folder)
    metrics = result["metrics"]
    assert metrics["validation_accuracy"] == 1
    assert metrics["validation_loss"] < 0.7 * metrics["validation_before_loss"]
    if recipe == "dpo" and "adapter_path" in result:
        pairs = pairs_in(base, preference_rows()[12:])
        model = load_policy(Base(str(base), folder / "adapter"), "fp32")
        with torch.no_grad():
            _, values = Preference(pairs, 0, DpoSettings()).loss(model, list(range(4)))
        assert values["margin"] / 4 == pytest.approx(metrics["validation_margin"], rel=1e-4)
        suite = {"suite": "preference-accuracy", "precision": "fp32"}
        adapted = {"path": str(base), "adapter": str(folder / "adapter")}
        measured = run_dir("evaluate", {"pairs": preference_rows()[12:]}, suite, base=adapted, name="measured")
        found = finished(measured)["metrics"]
        assert found["implicit_reward_accuracy"]["value"] == 1
        assert 0.1 * found["implicit_reward_margin"]["value"] == pytest.approx(metrics["validation_margin"], rel=1e-3)
        assert len(rows_of(measured / "scores.jsonl")) == 4


def test_a_stop_changes_nothing_of_dpo(bases, run_dir, start):
    settings = {**LEARN, "max_steps": 60, "batch_size": 2, "lora_dropout": 0.1}
    spec = {"train": preference_rows()}, settings
    undisturbed = run_dir("dpo", *spec, base={"path": str(bases["t5"])}, name="undisturbed")
    finished(undisturbed)
    disturbed = run_dir("dpo", *spec, base={"path": str(bases["t5"])}, name="disturbed")
    process = start(disturbed)
    process.wait_for_step(10)
    assert process.terminate() == 0
    assert finished(disturbed)["attempt"] == 2
    weights = [(folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (undisturbed, disturbed)]
    assert weights[0] == weights[1]


def test_several_turns_are_prompts_too(bases, run_dir):
    turns = [user("say a"), assistant("a"), user("what ?")]
    rows = [{**row, "prompt": [*turns[:2], *row["prompt"]]} for row in preference_rows()]
    folder = run_dir("dpo", {"train": rows}, {"max_steps": 1}, base={"path": str(bases["bart"])})
    assert finished(folder)["rows"] == 16
