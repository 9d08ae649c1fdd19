"""Several tasks in one SFT: drawn by weight, each row in its turn, told apart, resumed exactly."""

import json
from collections import Counter

import pytest
from training_cast import WORDS, assistant, echo_rows, events, failure, finished, preference_rows, user

from training import data
from training.directory import RunDirectory
from training.estimate import estimate_of
from training.loop.mixture import PartOf
from training.loop.order import Schedule, drawn_rows, shares
from training.models import load_base, load_tokenizer
from training.recipes.sft import AnswerLikelihood

LEARN = {"max_steps": 60, "learning_rate": 0.02, "batch_size": 4, "gradient_accumulation": 1, "precision": "fp32"}


def negations() -> list[dict]:
    """A second task: whatever is asked with "not" is answered by "no WORD", of another length than an echo."""
    return [{"messages": [user(f"not {word} ?"), assistant(f"no {word} .")]} for word in WORDS[:6]]


@pytest.fixture
def mixed(run_dir):
    """mixed(weights, settings) → a run directory of two tasks, ten rows and six, four and two to validate."""

    def make(weights=(1, 3), settings=None, **more):
        echoes = echo_rows()
        files = {
            "echo": echoes[:10],
            "echo-validation": echoes[:4],
            "no": negations(),
            "no-validation": negations()[:2],
        }
        folder = run_dir("sft", files, {**LEARN, **(settings or {})}, **more)
        parts = [
            {"path": "data/echo.jsonl", "validation": "data/echo-validation.jsonl", "weight": weights[0]},
            {"path": "data/no.jsonl", "validation": "data/no-validation.jsonl", "weight": weights[1], "name": "denial"},
        ]
        respecified(folder, {"data": {"mixture": parts}})
        return folder

    return make


def respecified(folder, changes: dict) -> None:
    spec = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**spec, **changes}))


# --- Drawing ---------------------------------------------------------------------------------------------------------


def test_an_epoch_draws_by_weight_as_many_rows_as_there_are():
    assert [share.drawn for share in shares([10, 6], [1, 3])] == [4, 12]
    assert [share.drawn for share in shares([10, 6], [10, 6])] == [10, 6]
    assert [share.drawn for share in shares([5, 5, 5], [1, 1, 1])] == [5, 5, 5]
    assert [share.drawn for share in shares([3, 3, 4], [1, 1, 1])] == [4, 3, 3]
    assert [share.drawn for share in shares([1000, 1], [1e6, 1])] == [1001, 1], "nothing is left out altogether"
    assert [(share.start, share.rows) for share in shares([3, 3, 4], [1, 1, 1])] == [(0, 3), (3, 3), (6, 4)]


@pytest.mark.parametrize("weights", [(1, 3), (5, 1)])
def test_each_row_of_a_part_comes_before_one_comes_again(weights):
    for number, share in enumerate(shares([10, 6], weights)):
        seen: Counter = Counter()
        for epoch in range(7):
            rows = drawn_rows(share, number, 3, epoch)
            assert len(rows) == share.drawn
            seen.update(rows)
            assert set(seen) <= set(range(share.start, share.start + share.rows))
            assert max(seen.values()) - min(seen[row] for row in range(share.start, share.start + share.rows)) <= 1
        assert drawn_rows(share, number, 3, 4) == drawn_rows(share, number, 3, 4) != drawn_rows(share, number, 4, 4)


def test_each_step_takes_what_its_epoch_drew():
    from training.config import SftSettings

    settings = SftSettings(batch_size=3, gradient_accumulation=2, epochs=2)
    schedule = Schedule([row % 5 + 1 for row in range(16)], settings, shares([10, 6], [1, 3]))
    assert (schedule.steps_an_epoch, schedule.steps) == (3, 6)
    for epoch in range(2):
        seen = [row for step in range(3) for batch in schedule.batches(3 * epoch + step) for row in batch]
        drawn = [row for number, share in enumerate(schedule.shares) for row in drawn_rows(share, number, 0, epoch)]
        assert Counter(seen) == Counter(drawn)
        assert sum(row >= 10 for row in seen) == 12


# --- Training --------------------------------------------------------------------------------------------------------


def test_both_tasks_are_learnt_and_told_apart(mixed):
    folder = mixed(settings={"max_steps": 100, "batch_size": 8})
    result = finished(folder)
    metrics = result["metrics"]
    assert metrics["validation_loss_echo"] < 0.2 < 2 < metrics["validation_before_loss_echo"]
    assert metrics["validation_loss_denial"] < 0.2 < 2 < metrics["validation_before_loss_denial"]
    assert result["rows"] == 16
    assert result["mixture"] == [
        {"name": "echo", "path": "data/echo.jsonl", "weight": 1, "rows": 10, "an_epoch": 4},
        {"name": "denial", "path": "data/no.jsonl", "weight": 3, "rows": 6, "an_epoch": 12},
    ]
    assert not [name for name in metrics if "over" in name]
    # The loss of all is that of the parts, each by its answers' tokens: 2 of an echo, 4 of a denial.
    before = {name.removeprefix("validation_before_"): value for name, value in metrics.items() if "before" in name}
    assert before["loss"] == pytest.approx((8 * before["loss_echo"] + 8 * before["loss_denial"]) / 16)
    steps = [event["values"] for event in events(folder, "metric") if event["split"] == "train"]
    assert all({"loss_echo", "loss_denial"} & set(values) for values in steps)
    assert any("loss_echo" not in values for values in steps), "of a step without one of its rows nothing is said"
    assert "| Part denial | 6 rows, 12 drawn an epoch |" in (folder / "adapter" / "README.md").read_text()


def test_a_parts_loss_is_that_of_its_rows(tiny):
    model, tokens = load_base(str(tiny), "fp32"), data.ChatTokens(load_tokenizer(str(tiny)), "tiny")
    rows = [(data.Place("t", n), row) for n, row in enumerate([*echo_rows()[:3], *negations()[:2]])]
    made = data.examples(tokens, rows, data.Fitting(64))
    objective = AnswerLikelihood(made, 0, PartOf(["echo", "denial"], [3, 2]))
    _, values = objective.loss(model, [4, 0, 2, 3])
    for name, those in (("echo", [0, 2]), ("denial", [3, 4])):
        alone, _ = AnswerLikelihood(made, 0).loss(model, those)
        assert values[f"loss_{name}"] == pytest.approx(alone.item(), rel=1e-5)
        assert values[f"loss_{name} over"] == sum(len(made[row].answer) for row in those)


def test_stopped_and_run_again_it_comes_to_the_same_weights(mixed, start):
    settings = {"max_steps": 90, "batch_size": 2, "gradient_accumulation": 2, "lora_dropout": 0.1}
    undisturbed = mixed(settings=settings, name="undisturbed")
    finished(undisturbed)
    disturbed = mixed(settings=settings, name="disturbed")
    process = start(disturbed)
    process.wait_for_step(7)
    assert process.terminate() == 0
    assert finished(disturbed)["attempt"] == 2
    weights = [(folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (undisturbed, disturbed)]
    assert weights[0] == weights[1]


def test_weights_cannot_change_under_a_checkpoint(mixed, start):
    folder = mixed(settings={"max_steps": 100_000})
    process = start(folder)
    process.wait_for_step(3)
    process.terminate()
    parts = json.loads((folder / "run.json").read_text())["data"]["mixture"]
    respecified(folder, {"data": {"mixture": [{**parts[0], "weight": 2}, parts[1]]}})
    kind, words = failure(folder)
    assert (kind, "data.train changed since the last checkpoint" in words) == ("checkpoint_mismatch", True)


def test_it_is_estimated_as_it_runs(mixed):
    folder = mixed(settings={"max_steps": None, "epochs": 2, "batch_size": 2})
    found = estimate_of(folder, RunDirectory(folder).spec(), seconds=0)
    result = finished(folder)
    assert (found["steps"], found["rows"]["used"]) == (result["steps"], result["rows"]) == (16, 16)
    assert found["tokens"] == pytest.approx(result["tokens"], rel=0.05)


def test_without_weights_each_part_counts_by_its_rows(mixed):
    folder = mixed(settings={"max_steps": 1})
    parts = [{"path": "data/echo.jsonl"}, {"path": "data/no.jsonl"}]
    respecified(folder, {"data": {"mixture": parts}})
    assert [part["an_epoch"] for part in finished(folder)["mixture"]] == [10, 6]


@pytest.mark.parametrize(
    ("recipe", "given", "said"),
    [
        ("sft", {"mixture": []}, "must be a list of parts"),
        ("sft", {"mixture": [{"weight": 1}]}, "part 1 must be an object with a path"),
        ("sft", {"mixture": [{"path": "data/a.jsonl", "wight": 1}]}, 'part 1: "wight" is none of name, path'),
        ("sft", {"mixture": [{"path": "data/a.jsonl", "weight": 0}]}, "its weight 0 must be a number above 0"),
        ("sft", {"mixture": [{"path": "data/a.jsonl", "name": "a b"}]}, "its name 'a b' must be of letters"),
        ("sft", {"mixture": [{"path": "data/a.jsonl"}] * 2}, 'has two parts called "a"'),
        ("sft", {"mixture": [{"path": "a.jsonl", "weight": 1}, {"path": "b.jsonl"}]}, "weights in some parts"),
        ("sft", {"mixture": [{"path": "a.jsonl"}], "train": "a.jsonl"}, "instead of data.train"),
        ("sft", {"mixture": [{"path": "data/nowhere.jsonl"}]}, "cannot be read"),
        ("dpo", {"mixture": [{"path": "data/a.jsonl"}]}, "is for sft; dpo learns from one file"),
    ],
)
def test_what_is_no_mixture_is_told(run_dir, recipe, given, said):
    folder = run_dir(recipe, {"a": preference_rows() if recipe == "dpo" else echo_rows()})
    respecified(folder, {"data": given})
    assert said in failure(folder)[1]
