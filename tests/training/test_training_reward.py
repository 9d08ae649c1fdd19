"""The reward model: its loss by hand and by TRL, a known preference learnt, one scoring function, what it is worth."""

import json
import math

import pytest
import torch
from training_cast import WORDS, assistant, events, failure, finished, opinionated, preference_rows, rows_of, user

from training import data
from training.config import RewardSettings
from training.models import Base, load_base, load_tokenizer
from training.networks.scoring import example_batch, pair_batch
from training.recipes import reward as recipe
from training.recipes.reward import Comparisons, item_weights, preference_losses
from training.rewards.reward_model import RewardModel, last_positions, reliability, reward_load, rewards, temperature_of

LEARN = {"max_steps": 40, "learning_rate": 0.01, "precision": "fp32", "heads": 3}


def pairs_of(folder, rows: list[dict]) -> list[data.Pair]:
    tokens = data.ChatTokens(load_tokenizer(str(folder)), "tiny")
    return data.pairs(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows, 1)], data.Fitting(128))


def test_the_loss_by_hand():
    found = torch.tensor([[[1.0, 0.0], [0.5, 2.0]]])  # a pair, chosen and rejected, two heads
    losses = preference_losses(found, torch.tensor([0.25]), 0.1)
    expected = [math.log(1 + math.exp(-(1 - 0.5 - 0.25))) + 0.1 * 1.5**2, math.log(1 + math.exp(2.25)) + 0.1 * 4]
    torch.testing.assert_close(losses, torch.tensor([expected]))


def test_the_loss_is_that_of_trl(tiny, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    rows = [{**row, "margin": 0.3 * number} for number, row in enumerate(preference_rows()[:4])]
    config = RewardConfig(
        output_dir=str(tmp_path),
        center_rewards_coefficient=0.02,
        per_device_train_batch_size=4,
        train_sampling_strategy="sequential",
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    theirs = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1, dtype=torch.float32)
    trainer = RewardTrainer(
        model=theirs, args=config, train_dataset=Dataset.from_list(rows), processing_class=load_tokenizer(str(tiny))
    )
    loss = trainer.compute_loss(theirs.train(), next(iter(trainer.get_train_dataloader())))
    ours = RewardModel(load_base(str(tiny), "fp32"), heads=1)
    ours.heads.data.copy_(theirs.score.weight)
    objective = Comparisons(
        pairs_of(tiny, rows), 0, RewardSettings(heads=1, centering=0.02, margin=1.0), bootstrap=False
    )
    torch.testing.assert_close(objective.loss(ours, [0, 1, 2, 3])[0] / 4, loss, rtol=1e-5, atol=1e-5)


def test_an_answer_scores_the_same_in_a_pair_and_alone(tiny):
    """The prompt held once, beside another answer, padded or not: the same number."""
    pairs = pairs_of(tiny, preference_rows())
    model = opinionated(tiny).eval()
    together = rewards(model, pair_batch(pairs, 0, model.device)).view(len(pairs), 2, 2)
    alone = [data.Example(pair.prompt, answer, 0) for pair in pairs for answer in (pair.chosen, pair.rejected)]
    batch = example_batch(alone, 0, model.device)
    ids = batch.ids.flatten()[last_positions(batch)]
    assert ids.tolist() == [example.answer[-1] for example in alone], "read at the last token"
    torch.testing.assert_close(together.view(-1, 2), rewards(model, batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["lora", "frozen"])
def test_a_known_preference_is_learnt_and_reloaded_exactly(run_dir, tiny, method):
    rows = preference_rows()
    settings = {**LEARN, "method": method, "max_steps": 40 if method == "lora" else 150}
    folder = run_dir("reward", {"train": rows[:12], "validation": rows[12:]}, settings)
    result = finished(folder)
    assert result["metrics"]["validation_accuracy"] == 1
    assert result["calibration"]["pairs"] == 4
    steps = [event["values"] for event in events(folder, "metric") if event["split"] == "train"]
    assert {"loss", "accuracy", "margin", "chosen_reward", "rejected_reward"} <= set(steps[0])
    # What training measured last, the saved model says again.
    model = reward_load(Base(str(tiny), folder / "adapter"), "fp32")
    found = rewards(model, pair_batch(pairs_of(tiny, rows[12:]), 0, model.device)).mean(dim=1).view(-1, 2)
    margin = (found[:, 0] - found[:, 1]).mean().item()
    assert margin == pytest.approx(result["metrics"]["validation_margin"], rel=1e-4)


@pytest.mark.parametrize("goes_back", [False, True])
def test_calibrated_are_the_weights_that_are_saved_measured_once(run_dir, tiny, monkeypatch, goes_back):
    """By the differences of the last evaluation, unless it was of other weights."""
    anew = []
    monkeypatch.setattr(recipe, "measured", lambda *given, measured=recipe.measured: anew.append(measured(*given)))
    rows = preference_rows()
    held = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} if goes_back else row for row in rows[12:]]
    settings = {**LEARN, "max_steps": 10, "eval_every": 5, "early_stopping_patience": int(goes_back)}
    folder = run_dir("reward", {"train": rows[:12], "validation": held}, settings)
    result = finished(folder)
    assert len(anew) == goes_back
    assert result["stopped_early"] if goes_back else "stopped_early" not in result
    found = rewards(
        reward_load(Base(str(tiny), folder / "adapter"), "fp32"),
        pair_batch(pairs_of(tiny, held), 0, torch.device("cpu")),
    )
    found = found.mean(dim=1).view(-1, 2)
    right = [(chosen > rejected) + (chosen == rejected) / 2 for chosen, rejected in found.tolist()]
    assert result["calibration"]["accuracy"]["value"] == sum(right) / 4 == (0.5 if goes_back else 1)


def test_peft_loads_it_as_a_sequence_classifier(run_dir, tiny):
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    rows = preference_rows()
    folder = run_dir("reward", {"train": rows}, {**LEARN, "max_steps": 5})
    finished(folder)
    base = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(base, folder / "adapter").eval()
    ours = reward_load(Base(str(tiny), folder / "adapter"), "fp32")
    pair = pairs_of(tiny, rows)[3]
    example = data.Example(pair.prompt, pair.chosen, 0)
    found = theirs(input_ids=torch.tensor([pair.prompt + pair.chosen])).logits.item()
    assert found == pytest.approx(rewards(ours, example_batch([example], 0, ours.device)).mean().item(), abs=1e-5)


def test_score_tells_probabilities_and_how_sure_it_is(run_dir):
    rows = preference_rows()
    trained = run_dir("reward", {"train": rows[:12], "validation": rows[12:]}, LEARN, name="reward")
    finished(trained)
    answers = [
        {"id": f"{number}-{key}", "prompt": row["prompt"], "completion": row[key]}
        for number, row in enumerate(rows[12:])
        for key in ("chosen", "rejected")
    ]
    spec = json.loads((trained / "run.json").read_text())
    reward = {"path": spec["base"]["path"], "adapter": str(trained / "adapter")}
    folder = run_dir("score", {"answers": answers}, {"precision": "fp32", "batch_size": 3}, name="score", reward=reward)
    finished(folder)
    scores = {row["id"]: row for row in rows_of(folder / "scores.jsonl")}
    assert list(scores) == [answer["id"] for answer in answers]
    assert all(scores[f"{n}-chosen"]["reward"] > scores[f"{n}-rejected"]["reward"] for n in range(4))
    one = scores["0-chosen"]
    assert len(one["heads"]) == 3
    assert one["reward"] == pytest.approx(sum(one["heads"]) / 3)
    assert len(set(one["heads"])) == 3, "each head has seen pairs of its own"


def test_a_resumed_run_comes_to_the_same_weights(run_dir, start):
    from safetensors.torch import load_file

    rows = preference_rows()
    files = {"train": rows[:12], "validation": rows[12:]}
    whole = run_dir("reward", files, {**LEARN, "save_every": 2}, name="whole")
    finished(whole)
    cut = run_dir("reward", files, {**LEARN, "save_every": 2}, name="cut")
    process = start(cut)
    process.wait_for_step(4)
    assert process.terminate() == 0
    finished(cut)
    for name in ("adapter_model", "reward_heads"):
        ours, theirs = (load_file(folder / "adapter" / f"{name}.safetensors") for folder in (whole, cut))
        for key, weight in ours.items():
            torch.testing.assert_close(theirs[key], weight, rtol=0, atol=0)


def test_temperature_makes_said_and_seen_agree():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(4000, generator=generator, dtype=torch.float64) * 2
    flips = torch.rand(4000, generator=generator, dtype=torch.float64) > torch.sigmoid(truth.abs())
    margins = (truth.abs() * torch.where(flips, -1, 1) * 3).tolist()  # three times too sure
    assert temperature_of(margins) == pytest.approx(3, rel=0.1)
    for part in reliability(margins, 3.0):
        assert part["accuracy"] == pytest.approx(part["confidence"], abs=0.05)
    assert temperature_of([]) == 1.0


def test_wrong_use_is_told_in_words(run_dir, tiny):
    row = preference_rows()[0]
    kind, words = failure(run_dir("reward", {"train": [{**row, "margin": "much"}]}, LEARN))
    assert (kind, '"margin" must be a number' in words) == ("bad_data", True)
    answer = {"id": 1, "prompt": [user(WORDS[0])], "completion": [assistant("good")]}
    kind, words = failure(run_dir("score", {"answers": [answer]}, name="none"))
    assert kind == "adapter_missing"
    assert "no reward model" in words


def ranking_row() -> dict:
    return {"prompt": [user("what is a ?")], "ranking": [["good a"], ["good", "good b"], [[assistant("bad")]]]}


def test_a_ranking_is_all_its_pairs_and_no_answer_counts_twice(tiny):
    """Ties are no pair. Of a strict ranking of four each pair counts a third, as each answer stands in three."""
    made = pairs_of(tiny, [ranking_row(), *preference_rows()[:2]])
    assert len(made) == 5 + 2
    strict = {"prompt": "what is b ?", "ranking": [["a"], ["b"], ["c"], ["d"]]}
    weights = item_weights(pairs_of(tiny, [strict, *preference_rows()[:2]]))
    assert weights == pytest.approx([1 / 3] * 6 + [1, 1])
    twice = pairs_of(tiny, [preference_rows()[0], preference_rows()[0]])
    assert item_weights(twice) == [1, 1], "two raters of one pair are two votes"


def test_a_pairs_weight_is_in_its_loss_and_in_the_means(tiny):
    rows = pairs_of(tiny, [{"prompt": "what is b ?", "ranking": [["good"], ["bad"], ["a b"]]}, preference_rows()[0]])
    model = opinionated(tiny)
    weighed, plain = (
        Comparisons(rows, 0, RewardSettings(heads=2, balance=balance), bootstrap=False)
        for balance in ("answers", "pairs")
    )
    ranking, pair = (plain.loss(model, [row])[0].item() for row in range(2))
    assert weighed.loss(model, [0, 1])[0].item() == pytest.approx(ranking / 2 + pair, rel=1e-5)
    assert [plain.weight(row) for row in range(2)] == [3, 1]
    assert [weighed.weight(row) for row in range(2)] == pytest.approx([1.5, 1])


def test_rankings_are_learnt(run_dir):
    rows = [{"prompt": row["prompt"], "ranking": [["good"], ["a b c"], ["bad . ."]]} for row in preference_rows()]
    result = finished(run_dir("reward", {"train": rows[:4], "validation": rows[:4]}, {**LEARN, "max_steps": 60}))
    assert result["rows"] == 12
    assert result["metrics"]["validation_accuracy"] == 1


@pytest.mark.parametrize("ranking", [[], [["a"]], ["a", "b"], [["a"], []], [["a"], ["a"]], [["a"], [7]]])
def test_a_ranking_that_is_none_is_named(run_dir, ranking):
    kind, words = failure(run_dir("reward", {"train": [{"prompt": "what is a ?", "ranking": ranking}]}, LEARN))
    assert kind == "bad_data"
    assert words.startswith("data/train.jsonl line 1: ")
