"""SFT learns answers, and only answers; what it saves is what it trained."""

import json

import torch
from training_cast import assistant, echo_rows, events, finished, user

from training import data
from training.loop.tuning import licence_of
from training.models import Base, load_base, load_policy, load_tokenizer
from training.recipes.sft import AnswerLikelihood

LEARN = {"max_steps": 60, "learning_rate": 0.02, "batch_size": 8, "gradient_accumulation": 1, "precision": "fp32"}


def test_a_known_task_is_learnt_and_shown(run_dir):
    samples = [{"id": 7, "messages": [user("say red")]}, {"id": 8, "messages": [user("say two")]}]
    files = {"train": echo_rows(), "validation": echo_rows()[:6], "samples": samples}
    folder = run_dir("sft", files, LEARN)
    result = finished(folder)
    assert result["status"] == "completed"
    assert result["steps"] == 60
    assert result["metrics"]["validation_before_loss"] > 2
    assert result["metrics"]["validation_loss"] < 0.05
    assert result["metrics"]["validation_accuracy"] == 1
    assert result["tokens_per_second"] > 0
    assert result["peak_memory_bytes"] > 0
    shown = [(event["stage"], event.get("step"), event["id"]) for event in events(folder, "sample")]
    stages = (("before", None), ("during", 30), ("after", None))
    assert shown == [(*stage, pk) for stage in stages for pk in (7, 8)]
    after = {event["id"]: event["text"] for event in events(folder, "sample") if event["stage"] == "after"}
    assert after == {7: "red", 8: "two"}
    assert result["metrics"]["validation_entropy"] < 0.3 < result["metrics"]["validation_before_entropy"]


def test_every_weight_can_be_tuned(run_dir, tiny):
    folder = run_dir("sft", {"train": echo_rows()}, {**LEARN, "method": "full", "learning_rate": 0.005})
    result = finished(folder)
    assert result["metrics"]["train_loss"] < 0.1
    assert not (folder / "adapter").exists()
    model, tokenizer = load_base(result["model_path"], "fp32"), load_tokenizer(result["model_path"])
    prompt = torch.tensor([data.ChatTokens(tokenizer, "tiny").prompt([user("say blue")])])
    assert tokenizer.decode(model(prompt).logits[0, -1].argmax()) == "blue"


def test_the_saved_adapter_gives_the_logits_that_were_trained(run_dir, tiny):
    """Compared with the loss that the training itself measured last, in bf16 as on a real machine."""
    folder = run_dir("sft", {"train": echo_rows(), "validation": echo_rows()}, {**LEARN, "precision": "bf16"})
    result = finished(folder)
    model = load_policy(Base(str(tiny), folder / "adapter"), "bf16")
    tokens = data.ChatTokens(load_tokenizer(str(tiny)), "tiny")
    rows = data.examples(tokens, data.read_rows(folder, "data/validation.jsonl"), data.Fitting(64))
    rows.sort(key=lambda row: row.length)
    objective = AnswerLikelihood(rows, 0)
    with torch.no_grad():
        total = sum(objective.loss(model, list(range(start, start + 8)))[0].item() for start in (0, 8))
    assert total / sum(len(row.answer) for row in rows) == result["metrics"]["validation_loss"]


def test_only_the_last_answer_is_learnt(tiny):
    """The loss of a row is the sum of −log p over the last answer's tokens and its end, by hand from full logits."""
    model, tokenizer = load_base(str(tiny), "fp32"), load_tokenizer(str(tiny))
    messages = [user("say a"), assistant("b c"), user("say two"), assistant("red green")]
    place = data.Place("train", 1)
    rows = data.examples(data.ChatTokens(tokenizer, "tiny"), [(place, {"messages": messages})], data.Fitting(64))
    loss, _ = AnswerLikelihood(rows, 0).loss(model, [0])
    text = "<user> say a <end> <assistant> b c <end> <user> say two <end> <assistant> red green <end>"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    logprobs = model(ids).logits[0].log_softmax(-1)
    by_hand = -sum(logprobs[place - 1, ids[0, place]] for place in range(ids.shape[1] - 3, ids.shape[1]))
    torch.testing.assert_close(loss, by_hand)
    assert AnswerLikelihood(rows, 0).weight(0) == 3


def test_padding_changes_nothing(tiny):
    model, tokens = load_base(str(tiny), "fp32"), data.ChatTokens(load_tokenizer(str(tiny)), "tiny")
    rows = [
        {"messages": [user("say a b c d e f g"), assistant("h")]},
        {"messages": [user("a"), assistant("red one two")]},
    ]
    made = data.examples(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows, 1)], data.Fitting(64))
    objective = AnswerLikelihood(made, 0)
    together = objective.loss(model, [0, 1])[0]
    torch.testing.assert_close(together, objective.loss(model, [0])[0] + objective.loss(model, [1])[0])


def test_accumulated_batches_make_the_step_of_one_batch(run_dir):
    """Rows of unlike answer lengths: each token counts the same, however the rows are cut into batches."""
    rows = [{"messages": [user(f"say {a}"), assistant(" ".join([a] * n))]} for n, a in enumerate("abcdefgh", 1)]
    losses = []
    for batch, accumulation in ((8, 1), (2, 4)):
        settings = {**LEARN, "max_steps": 5, "batch_size": batch, "gradient_accumulation": accumulation}
        folder = run_dir("sft", {"train": rows}, settings, name=f"b{batch}")
        finished(folder)
        losses.append([event["values"]["loss"] for event in events(folder, "metric")])
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-4, atol=1e-5)


def test_long_prompts_lose_their_beginning_and_long_answers_their_row(run_dir):
    rows = [
        *echo_rows(),
        {"messages": [user("say " + "a " * 40), assistant("a")]},
        {"messages": [user("say b"), assistant("b " * 40)]},
    ]
    folder = run_dir("sft", {"train": rows}, {"max_steps": 1, "max_length": 24})
    assert finished(folder)["rows"] == 17
    (warning,) = events(folder, "warning")
    expected = (
        "of 18 rows 1 lost the beginning of their prompt and 1 were left out (lines 18): max_length is 24 tokens."
    )
    assert expected in warning["message"]


def test_the_directory_tells_what_happened(run_dir, tiny):
    about = {"dataset_hash": "abc123", "title": "round 3 of tests", "votes": {"judgments": 40, "raters": 3}}
    folder = run_dir("sft", {"train": echo_rows()}, {"max_steps": 4}, **about)
    result = finished(folder)
    statuses = events(folder, "status")
    assert [statuses[0]["phase"], statuses[-1]["phase"]] == ["loading", "saving"]
    assert statuses[-1]["status"] == "completed"
    assert statuses[-1]["progress"] == 1
    assert all(0 <= event["progress"] <= 1 and event["attempt"] == 1 for event in statuses)
    metric = events(folder, "metric")[-1]
    names = {"loss", "accuracy", "learning_rate", "grad_norm", "tokens_per_second", "memory_bytes"}
    assert (metric["step"], metric["split"], set(metric["values"])) == (4, "train", names)
    card = (folder / "adapter" / "README.md").read_text()
    for told in ("round 3 of tests", "abc123", str(tiny), "learning_rate", "16 to train on"):
        assert told in card
    assert "| Votes behind them | 40 judgments, 3 raters |" in card
    assert "| Licence of the base | not stated in its model card |" in card
    assert result["base_path"] == str(tiny)
    assert json.loads((folder / "adapter" / "adapter_config.json").read_text())["r"] == 16
    assert "step     4" in (folder / "log.txt").read_text()


def test_nothing_in_the_directory_is_a_pickle(run_dir, start):
    folder = run_dir("sft", {"train": echo_rows()}, {"max_steps": 5000, "save_every": 2})
    process = start(folder)
    process.wait_for(lambda: any((folder / "checkpoints").glob("step-*")))
    process.terminate()
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    kinds.discard(".0")  # TensorBoard's event files, read back in test_training_tensorboard.py
    assert kinds <= {".json", ".jsonl", ".safetensors", ".txt", ".md", ".jinja"}


def test_rows_of_alpacas_form_are_conversations_too(tiny):
    rows = [
        {"instruction": "say", "input": "a", "output": "a"},
        {"messages": [user("say\n\na"), assistant("a")]},
        {"instruction": "say b", "input": "", "output": "b"},
        {"messages": [user("say b"), assistant("b")]},
    ]
    tokens = data.ChatTokens(load_tokenizer(str(tiny)), "tiny")
    made = data.examples(tokens, [(data.Place("t", n), row) for n, row in enumerate(rows)], data.Fitting(64))
    assert [(one.prompt, one.answer) for one in made[::2]] == [(one.prompt, one.answer) for one in made[1::2]]


def test_a_model_card_states_the_licence_of_the_base_through_a_merge(tmp_path):
    base, merged = tmp_path / "base", tmp_path / "merged"
    base.mkdir()
    merged.mkdir()
    (base / "README.md").write_text("---\nlanguage: en\nlicense: 'apache-2.0'\n---\nlicense: of-nobody\n")
    (merged / "merged_from.json").write_text(json.dumps({"base": str(base), "adapter": "a"}))
    assert licence_of(str(merged)) == licence_of(str(base)) == "apache-2.0"
    (base / "README.md").write_text("license: of-nobody\n")
    assert licence_of(str(merged)) is None
    assert licence_of("owner/name") is None
