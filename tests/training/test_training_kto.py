"""KTO: the loss by hand and by TRL, thumbs learnt, and what is wrong with thumbs said in words."""

import math

import numpy as np
import pytest
import torch
from training_cast import WORDS, assistant, events, failure, finished, tiny_model, user

from training import data
from training.config import KtoSettings
from training.models import load_base, load_tokenizer
from training.recipes.kto import Thumbs, balance_words, thumb_losses

LEARN = {"max_steps": 40, "learning_rate": 0.01, "precision": "fp32"}


def thumbs_rows() -> list[dict]:
    """A good and a bad answer to each prompt; good ones say `good`."""
    rows = []
    for number, word in enumerate(WORDS[:16]):
        tail = " ".join(WORDS[: number % 4])
        prompt = [user(f"what is {word} {tail}".strip() + " ?")]
        rows.append({"prompt": prompt, "completion": [assistant(f"good {tail}".strip())], "label": True})
        rows.append({"prompt": prompt, "completion": [assistant("bad . .")], "label": False})
    return rows


def labelled_of(folder, rows: list[dict]) -> list[data.Labelled]:
    tokens = data.ChatTokens(load_tokenizer(str(folder)), "tiny")
    return data.labelled(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows, 1)], data.Fitting(128))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Other weights of the same shape: a policy that differs from its reference."""
    return tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1)


def test_the_loss_by_hand():
    settings = KtoSettings(beta=0.5, good_weight=1.0, bad_weight=2.0)
    found = thumb_losses(
        torch.tensor([3.0, 3.0, -1.0]), torch.tensor(1.0), torch.tensor([True, False, False]), settings
    )

    def sigma(x):
        return 1 / (1 + math.exp(-x))

    expected = [1 - sigma(0.5 * (3 - 1)), 2 * (1 - sigma(0.5 * (1 - 3))), 2 * (1 - sigma(0.5 * (1 + 1)))]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("first", [0, 6, 11])
def test_the_loss_is_that_of_trl(tiny, other, tmp_path, first):
    """On two rows both pair an answer with the other row's."""
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    rows = thumbs_rows()[first : first + 2]
    config = KTOConfig(
        output_dir=str(tmp_path),
        beta=0.3,
        desirable_weight=1.2,
        undesirable_weight=0.7,
        per_device_train_batch_size=2,
        train_sampling_strategy="sequential",
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = KTOTrainer(
        model=load_base(str(other), "fp32"),
        ref_model=load_base(str(tiny), "fp32"),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(str(tiny)),
    )
    theirs = trainer.compute_loss(trainer.model.train(), next(iter(trainer.get_train_dataloader())))
    settings = KtoSettings(beta=0.3, good_weight=1.2, bad_weight=0.7)
    objective = Thumbs(labelled_of(tiny, rows), 0, settings, frozen=load_base(str(tiny), "fp32"))
    ours, _ = objective.loss(load_base(str(other), "fp32"), [0, 1])
    torch.testing.assert_close(ours / 2, theirs, rtol=1e-5, atol=1e-5)


def test_a_mismatched_answer_belongs_to_another_prompt(tiny):
    words = WORDS[:16]
    rows = [
        {"prompt": [user(f"what is {words[number // 2]} ?")], "completion": [assistant(word)], "label": True}
        for number, word in enumerate(words)
    ]
    rows = labelled_of(tiny, rows)
    objective = Thumbs(rows, 0, KtoSettings())
    owner = {tuple(row.answer): row for row in rows}
    for number, row in enumerate(rows):
        found = objective._mismatched(number)
        assert found.prompt == row.prompt
        assert owner[tuple(found.answer)].prompt != row.prompt


@pytest.mark.parametrize("settings", [{}, {"method": "full", "learning_rate": 0.003}])
def test_thumbs_are_learnt(run_dir, settings):
    rows = thumbs_rows()
    folder = run_dir("kto", {"train": rows[:24], "validation": rows[24:]}, {**LEARN, **settings})
    metrics = finished(folder)["metrics"]
    assert metrics["validation_before_margin"] == pytest.approx(0, abs=1e-5)
    assert metrics["validation_accuracy"] == 1
    assert metrics["validation_margin"] > 0.1
    steps = [event["values"] for event in events(folder, "metric") if event["split"] == "train"]
    assert {"loss", "accuracy", "margin", "kl"} <= set(steps[0])
    assert steps[0]["loss"] == pytest.approx(0.5, abs=1e-5)  # σ(0) for good and bad alike
    assert np.mean([step["loss"] for step in steps[-5:]]) < 0.45


def test_unequal_thumbs_are_told_with_the_weight_that_mends_it(tiny):
    rows = labelled_of(tiny, thumbs_rows())
    good = [row for row in rows if row.good]
    assert balance_words(rows, KtoSettings()) is None
    words = balance_words([*good, *[row for row in rows if not row.good][:4]], KtoSettings())
    assert "16 good and 4 bad answers weigh 4.00 to 1" in words
    assert "good_weight to 0.25–0.33" in words
    assert balance_words([*good, *[row for row in rows if not row.good][:4]], KtoSettings(good_weight=0.3)) is None
    assert "same thumb" in balance_words(good, KtoSettings())


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"label": "up"}, "bad_data", '"label" must be true'),
        ({"completion": None}, "bad_data", '"completion" must be a list of messages'),
        ({"prompt": []}, "bad_data", '"prompt" must be a list of messages'),
    ],
)
def test_a_wrong_row_is_named(run_dir, change, kind, words):
    folder = run_dir("kto", {"train": [thumbs_rows()[0], {**thumbs_rows()[1], **change}]}, LEARN)
    found, message = failure(folder)
    assert found == kind
    assert "line 2" in message
    assert words in message


def test_one_row_is_not_enough(run_dir):
    kind, message = failure(run_dir("kto", {"train": thumbs_rows()[:1]}, LEARN))
    assert kind == "empty_data"
    assert "at least two" in message
