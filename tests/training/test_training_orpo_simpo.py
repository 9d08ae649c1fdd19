"""ORPO and SimPO, the methods without a reference: TRL's loss on the same numbers, by hand, and a preference learnt."""

import math
from types import SimpleNamespace

import pytest
import torch
from training_cast import events, finished, preference_rows, tiny_model

from training import data
from training.config import OrpoSettings, SimpoSettings
from training.models import load_base, load_tokenizer
from training.recipes.orpo import OddsRatio, log_odds_ratios
from training.recipes.simpo import TargetMargin, margin_losses

LEARN = {"max_steps": 40, "learning_rate": 0.01, "precision": "fp32"}
MEANS = torch.tensor([[-0.5, -1.5], [-2.0, -0.1], [-1e-3, -8.0], [-0.7, -0.7]])
CPU = SimpleNamespace(device=torch.device("cpu"))


def pairs_of(folder, rows: list[dict]) -> list[data.Pair]:
    tokens = data.ChatTokens(load_tokenizer(str(folder)), "tiny")
    return data.pairs(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows, 1)], data.Fitting(128))


def means_alone(model, pair: data.Pair) -> list[float]:
    """Mean log-probability a token of chosen and rejected, each read in a plain row of its own."""
    found = []
    for answer in (pair.chosen, pair.rejected):
        logits = model(torch.tensor([pair.prompt + answer])).logits[0].double().log_softmax(-1)
        at = range(len(pair.prompt) - 1, len(pair.prompt) + len(answer) - 1)
        found.append(sum(logits[place, token].item() for place, token in zip(at, answer, strict=True)) / len(answer))
    return found


def test_the_odds_ratio_is_that_of_trl_and_the_papers():
    from trl.experimental.orpo import ORPOTrainer

    theirs = ORPOTrainer.odds_ratio_loss(SimpleNamespace(beta=0.3, accelerator=CPU), *MEANS.unbind(1))[0]
    ours = 0.3 * torch.nn.functional.logsigmoid(log_odds_ratios(MEANS))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    odds = [math.exp(m) / (1 - math.exp(m)) for m in (-0.5, -1.5)]
    assert log_odds_ratios(MEANS)[0].item() == pytest.approx(math.log(odds[0] / odds[1]), rel=1e-5)


def test_the_odds_ratio_stays_finite_where_an_answer_is_sure():
    means = torch.tensor([[0.0, -200.0], [-200.0, -1e-9]], requires_grad=True)
    torch.nn.functional.logsigmoid(log_odds_ratios(means)).sum().backward()
    assert means.grad.isfinite().all()


def test_simpos_loss_is_that_of_trl():
    from trl.experimental.cpo import CPOTrainer

    config = SimpleNamespace(
        beta=2.5, simpo_gamma=1.4, alpha=0.0, label_smoothing=0.0, loss_type="simpo", accelerator=CPU
    )
    theirs = CPOTrainer.cpo_loss(config, *MEANS.unbind(1))[0]
    torch.testing.assert_close(margin_losses(MEANS, beta=2.5, gamma=1.4), theirs, rtol=1e-5, atol=1e-5)


def test_both_read_the_same_answers_as_plain_rows_do(tiny):
    """From token ids to the loss, by hand, with the prompt shared and rows of many lengths."""
    model, pairs = load_base(str(tiny), "fp32"), pairs_of(tiny, preference_rows()[:6])
    means = [means_alone(model, pair) for pair in pairs]
    sigmoid = [1 / (1 + math.exp(-(2 * (chosen - rejected) - 0.5))) for chosen, rejected in means]
    expected = sum(-math.log(found) - 0.2 * chosen for found, (chosen, _) in zip(sigmoid, means, strict=True))
    simpo = TargetMargin(pairs, 0, SimpoSettings(beta=2.0, gamma=0.5, sft_weight=0.2))
    assert simpo.loss(model, list(range(6)))[0].item() == pytest.approx(expected, rel=1e-5)

    odds = [[math.exp(m) / (1 - math.exp(m)) for m in row] for row in means]
    expected = sum(
        -chosen + 0.4 * math.log(1 + rejected_odds / chosen_odds)
        for (chosen, _), (chosen_odds, rejected_odds) in zip(means, odds, strict=True)
    )
    orpo = OddsRatio(pairs, 0, OrpoSettings(beta=0.4))
    assert orpo.loss(model, list(range(6)))[0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("recipe", ["orpo", "simpo"])
def test_a_preference_is_learnt_without_a_reference(run_dir, recipe):
    rows = preference_rows()
    settings = {**LEARN, **({"beta": 1.0} if recipe == "orpo" else {"sft_weight": 0.1})}
    folder = run_dir(recipe, {"train": rows[:12], "validation": rows[12:]}, settings)
    metrics = finished(folder)["metrics"]
    assert metrics["validation_accuracy"] == 1
    assert metrics["validation_answer_loss"] < 0.5 < metrics["validation_before_answer_loss"]
    assert metrics["validation_loss"] < metrics["validation_before_loss"]
    shown = {"loss", "accuracy", "margin", "chosen_reward", "rejected_reward", "answer_loss", "grad_norm"}
    assert shown <= set(events(folder, "metric")[-2]["values"])


def test_simpos_target_margin_is_reached_and_then_let_be(run_dir, tmp_path):
    """The known optimum: with a target γ the loss falls as the margin passes it; the rewards are β times the means."""
    base = {"path": str(tiny_model(tmp_path / "base", seed=3))}
    settings = {**LEARN, "gamma": 1.0, "max_steps": 60}
    folder = run_dir("simpo", {"train": preference_rows()}, settings, base=base)
    last = events(folder, "metric")[-1]["values"] if finished(folder) else {}
    assert last["margin"] > 1.0
    assert last["loss"] < math.log(1 + math.e**-1)
