"""Packing: short rows go through the model as one piece, and each is learnt as if it were alone."""

import json
import random

import pytest
import torch
from seq2seq_cast import tiny_t5
from training_cast import assistant, echo_rows, events, failure, finished, user

from training import data
from training.config import SftSettings
from training.data import Example
from training.estimate import estimate_of
from training.loop.mixture import PartOf
from training.loop.packing import packed, packed_parts
from training.models import attach_lora, load_base, load_tokenizer
from training.networks.scoring import answer_logits, pieces_batch
from training.recipes.sft import AnswerLikelihood

LEARN = {"max_steps": 60, "learning_rate": 0.02, "batch_size": 2, "gradient_accumulation": 1, "precision": "fp32"}


@pytest.fixture(scope="module")
def rows(tiny) -> list[Example]:
    """Conversations of many lengths, with prompts and answers of several tokens."""
    tokens = data.ChatTokens(load_tokenizer(str(tiny)), "tiny")
    said = [[user(f"say {'a ' * n}red"), assistant(" ".join(["blue"] * (1 + n % 3)))] for n in range(9)]
    numbered = [(data.Place("t", n), {"messages": messages}) for n, messages in enumerate(said)]
    return data.examples(tokens, numbered, data.Fitting(64))


# --- Pieces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_each_row_is_in_one_piece_and_no_piece_is_too_long(seed):
    chance = random.Random(seed)
    lengths = [chance.randint(1, 100) for _ in range(300)]
    pieces = packed(lengths, 100)
    assert sorted(row for piece in pieces for row in piece) == list(range(300))
    assert max(sum(lengths[row] for row in piece) for piece in pieces) <= 100
    assert len(pieces) <= 11 / 9 * -(-sum(lengths) // 100) + 1, "best fit decreasing wastes little"
    assert packed(lengths, 100) == pieces


def test_the_fullest_piece_that_has_room_takes_a_row():
    assert packed([60, 50, 40, 30, 20], 100) == [[0, 2], [1, 3, 4]]
    assert packed([7, 3, 7, 3], 10) == [[0, 1], [2, 3]]
    assert packed([5], 5) == [[0]]
    assert packed([9, 1], 5) == [[0], [1]], "a row that is longer stands alone"


def test_rows_of_unlike_parts_do_not_meet():
    examples = [Example([1] * n, [2], None) for n in (3, 2, 1, 4)]
    assert packed_parts(examples, [2, 2], 100) == [[[0, 1]], [[3, 2]]]


# --- What the model sees ---------------------------------------------------------------------------------------------


def gradients(model) -> list[torch.Tensor]:
    found = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    model.zero_grad()
    return found


def test_loss_and_gradients_are_those_of_rows_by_themselves(tiny, rows):
    model = attach_lora(load_base(str(tiny), "fp32"), SftSettings(lora_r=4))
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # else A would get no gradient
            torch.nn.init.normal_(weight, std=0.2)
    pieces = packed([row.length for row in rows], 40)
    assert 1 < len(pieces) < len(rows)
    together = AnswerLikelihood(rows, 0, pieces=pieces)
    loss, values = together.loss(model, list(range(len(pieces))))
    loss.backward()
    ours = gradients(model)
    alone, found = 0.0, 0
    for row in range(len(rows)):
        one, told = AnswerLikelihood(rows, 0).loss(model, [row])
        one.backward()
        alone, found = alone + one.item(), found + told["accuracy"]
    assert loss.item() == pytest.approx(alone, rel=1e-5)
    assert values["accuracy"] == found
    for one, other in zip(ours, gradients(model), strict=True):
        assert (one - other).norm() < 1e-4 * other.norm()
    assert sum(map(together.weight, range(len(pieces)))) == sum(len(row.answer) for row in rows)
    assert sum(map(together.tokens, range(len(pieces)))) == sum(row.length for row in rows)


def test_a_row_does_not_see_its_neighbours(tiny, rows):
    model = load_base(str(tiny), "fp32")
    first, second, third = rows[1], rows[5], rows[7]
    other = Example([*reversed(second.prompt)], second.answer, None)
    with torch.no_grad():
        one, changed = (
            answer_logits(model, pieces_batch([[(row.prompt, [row.answer]) for row in piece]], 0, "cpu"))
            for piece in ([first, second, third], [first, other, third])
        )
    place, end = len(first.answer), len(first.answer) + len(second.answer)
    torch.testing.assert_close(one[:place], changed[:place])
    torch.testing.assert_close(one[end:], changed[end:])
    assert not torch.allclose(one[place:end], changed[place:end], atol=0.01), "what it sees itself does matter"


def test_losses_of_a_mixtures_parts_stay_apart(tiny, rows):
    model, names = load_base(str(tiny), "fp32"), ["short", "long"]
    pieces = [piece for part in packed_parts(rows, [4, 5], 40) for piece in part]
    packed_too = AnswerLikelihood(rows, 0, PartOf(names, [4, 5]), pieces)
    _, values = packed_too.loss(model, list(range(len(pieces))))
    _, plain = AnswerLikelihood(rows, 0, PartOf(names, [4, 5])).loss(model, list(range(9)))
    assert values == pytest.approx(plain, rel=1e-5)


# --- Training --------------------------------------------------------------------------------------------------------


def test_a_known_task_is_learnt_by_fewer_pieces_than_rows(run_dir):
    settings = {**LEARN, "packing": True, "max_length": 32}
    folder = run_dir("sft", {"train": echo_rows(), "validation": echo_rows()[:6]}, settings)
    result = finished(folder)
    assert result["metrics"]["validation_loss"] < 0.05
    assert result["metrics"]["validation_accuracy"] == 1
    assert result["rows"] == 16
    assert result["epochs"] > 60 * 2 / 16, "two pieces a step hold more than two rows"
    said = [event["message"] for event in events(folder, "status") if event.get("message")]
    assert any("16 rows in 4 pieces of 32 tokens" in message for message in said), said


def test_parts_of_a_mixture_are_drawn_by_the_piece(run_dir):
    folder = run_dir("sft", {"echo": echo_rows(), "short": echo_rows()[:4]}, {**LEARN, "packing": True})
    spec = json.loads((folder / "run.json").read_text())
    parts = [{"path": "data/echo.jsonl", "weight": 1}, {"path": "data/short.jsonl", "weight": 1}]
    spec |= {"data": {"mixture": parts}, "settings": {**spec["settings"], "max_steps": 4, "max_length": 32}}
    (folder / "run.json").write_text(json.dumps(spec))
    told = finished(folder)["mixture"]
    assert [(one["rows"], one["pieces"], one["an_epoch"]) for one in told] == [(16, 4, 3), (4, 1, 2)]
    assert "| Part echo | 16 rows in 4 pieces, 3 drawn an epoch |" in (folder / "adapter" / "README.md").read_text()


def test_stopped_and_run_again_it_comes_to_the_same_weights(run_dir, start):
    settings = {**LEARN, "packing": True, "max_length": 32, "max_steps": 90, "lora_dropout": 0.1}
    undisturbed = run_dir("sft", {"train": echo_rows()}, settings, name="undisturbed")
    finished(undisturbed)
    disturbed = run_dir("sft", {"train": echo_rows()}, settings, name="disturbed")
    process = start(disturbed)
    process.wait_for_step(7)
    assert process.terminate() == 0
    assert finished(disturbed)["attempt"] == 2
    weights = [(folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (undisturbed, disturbed)]
    assert weights[0] == weights[1]


def test_an_estimate_counts_rows_as_rows(run_dir):
    settings = {"packing": True, "max_length": 32, "epochs": 3.0, "batch_size": 1, "gradient_accumulation": 2}
    folder = run_dir("sft", {"train": echo_rows()}, settings)
    found = estimate_of(folder, json.loads((folder / "run.json").read_text()), seconds=0)
    assert (found["rows"]["used"], found["steps"]) == (16, 6)
    assert found["rows"]["tokens"]["longest"] < 32


def test_an_encoder_decoder_refuses_in_words(run_dir, tmp_path):
    base = {"path": str(tiny_t5(tmp_path / "t5"))}
    kind, message = failure(run_dir("sft", {"train": echo_rows()}, {"packing": True, "max_steps": 1}, base=base))
    assert kind == "bad_setting"
    assert "Switch packing off" in message
