"""Encoder–decoders are tuned, written with and measured as causal models are: held to transformers' own numbers."""

import json
import math

import pytest
import torch
from seq2seq_cast import dialogues, rows_in, tiny_bart, tiny_t5, written_by_transformers
from training_cast import assistant, echo_rows, events, failure, finished, preference_rows, rows_of, user

from training.command import main
from training.config import SftSettings
from training.directory import RunDirectory
from training.estimate import estimate_of
from training.models import Base, adapter_shapes, attach_lora, load_base, load_policy, load_tokenizer
from training.networks.encoder_decoder import plainly, tokens_of
from training.recipes.sft import AnswerLikelihood

FP32 = {"precision": "fp32", "batch_size": 8, "gradient_accumulation": 1}
LEARN = {**FP32, "max_steps": 150, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seq2seq")
    return {
        "t5": tiny_t5(folder / "t5"),
        "flan": tiny_t5(folder / "flan", tied=False),
        "bart": tiny_bart(folder / "bart"),
    }


def files() -> dict:
    samples = [{"id": 7, "messages": [dialogues()[3]["messages"][0]]}]
    return {"train": dialogues(), "validation": dialogues()[:6], "samples": samples}


# --- The loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t5", "flan", "bart"])
def test_the_loss_is_transformers_own(bases, name):
    """Its model called with labels of -100 where padded, on rows of unlike lengths, two of one prompt."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, DataCollatorForSeq2Seq

    rows = [*dialogues()[:3], {"messages": [user("a"), assistant("red one two")]}]
    rows.append({"messages": [rows[0]["messages"][0], assistant("good")]})
    tokenizer = AutoTokenizer.from_pretrained(bases[name])
    model = AutoModelForSeq2SeqLM.from_pretrained(bases[name], dtype=torch.float32).eval()
    features = [
        {**tokenizer(row["messages"][0]["content"]), "labels": tokenizer(text_target=row["messages"][1]["content"])}
        for row in rows
    ]
    features = [{**one, "labels": one["labels"]["input_ids"]} for one in features]
    batch = DataCollatorForSeq2Seq(tokenizer, model=model)(
        [{k: v for k, v in f.items() if k != "token_type_ids"} for f in features]
    )
    theirs = model(**batch).loss
    objective = AnswerLikelihood(rows_in(bases[name], rows), tokenizer.pad_token_id)
    total, _ = objective.loss(load_base(str(bases[name]), "fp32"), list(range(len(rows))))
    ours = total / sum(objective.weight(row) for row in range(len(rows)))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_whole_training_is_that_of_seq2seqtrainer(bases, run_dir, tmp_path):
    """Five steps of every weight, the same rows in the same batches: its losses step by step."""
    from datasets import Dataset
    from transformers import (
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
    )

    base = bases["t5"]
    settings = {**FP32, "method": "full", "max_steps": 5, "learning_rate": 0.01, "batch_size": 16, "warmup_ratio": 0.0}
    folder = run_dir("sft", {"train": dialogues()}, settings, base={"path": str(base)})
    finished(folder)
    ours = [event["values"]["loss"] for event in events(folder, "metric")]

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSeq2SeqLM.from_pretrained(base, dtype=torch.float32)
    rows = [[message["content"] for message in row["messages"]] for row in dialogues()]
    given = [{"input_ids": tokenizer(a)["input_ids"], "labels": tokenizer(b)["input_ids"]} for a, b in rows]
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path / "theirs"),
        per_device_train_batch_size=16,
        max_steps=5,
        learning_rate=0.01,
        lr_scheduler_type="cosine",
        weight_decay=0.0,
        adam_epsilon=1e-8,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(given),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
    )
    trainer.train()
    theirs = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert ours == pytest.approx(theirs, rel=1e-3)  # it logs four digits
    assert ours[4] < ours[0]


# --- Learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flan", "bart"])
def test_a_known_task_is_learnt_with_queries_and_values_alone(bases, run_dir, name):
    folder = run_dir("sft", files(), {**LEARN, "lora_r": 32}, base={"path": str(bases[name])})
    result = finished(folder)
    assert result["metrics"]["validation_before_loss"] > 1.5
    assert result["metrics"]["validation_loss"] < 0.4
    assert result["metrics"]["validation_accuracy"] == 1
    after = {event["id"]: event["text"] for event in events(folder, "sample") if event["stage"] == "after"}
    assert after == {7: "four d"}
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert config["task_type"] == "SEQ_2_SEQ_LM"
    assert sorted(config["target_modules"]) == (["q_proj", "v_proj"] if name == "bart" else ["q", "v"])


@pytest.mark.parametrize("name", ["t5", "flan", "bart"])
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "full", "learning_rate": 0.003},
        {"method": "frozen", "trained_layers": 1},
        {"method": "frozen", "trained_layers": 0},
        {"lora_targets": "all-linear", "lora_variant": "dora"},
        {"method": "qlora", "lora_targets": "all-linear"},
    ],
    ids=["full", "last layer", "head", "dora", "qlora"],
)
def test_each_method_trains_it_and_what_is_saved_is_what_was_trained(bases, run_dir, name, settings):
    """The loss that training measured last, by the weights that it saved, loaded again."""
    asked = {**FP32, "max_steps": 12, "learning_rate": 0.01, "sample_count": 0, **settings}
    folder = run_dir("sft", files(), asked, base={"path": str(bases[name])})
    result = finished(folder)
    metrics = result["metrics"]
    assert metrics["validation_loss"] < 0.98 * metrics["validation_before_loss"]
    quantisation = "nf4" if settings.get("method") == "qlora" else None
    if "model_path" in result:
        model, path = load_base(result["model_path"], "fp32"), result["model_path"]
    else:
        path = bases[name]
        model = load_policy(Base(str(path), folder / "adapter", quantisation=quantisation), "fp32")
    rows = sorted(rows_in(path, dialogues()[:6]), key=lambda row: row.length)
    with torch.no_grad():
        total = AnswerLikelihood(rows, 0).loss(model, list(range(6)))[0].item()
    assert total / sum(len(row.answer) for row in rows) == pytest.approx(metrics["validation_loss"], rel=1e-6)


def test_frozen_changes_the_decoders_last_layer_or_the_head_alone(bases, run_dir):
    for layers, changed in ((1, ("decoder.block.1", "decoder.final_layer_norm")), (0, ("lm_head",))):
        asked = {**FP32, "method": "frozen", "trained_layers": layers, "max_steps": 3, "learning_rate": 0.01}
        folder = run_dir("sft", {"train": dialogues()}, asked, base={"path": str(bases["t5"])}, name=f"f{layers}")
        before, after = (load_base(str(p), "fp32") for p in (bases["t5"], finished(folder)["model_path"]))
        of_after = dict(after.named_parameters(remove_duplicate=False))
        different = {
            name
            for name, weight in before.named_parameters(remove_duplicate=False)
            if not torch.equal(weight, of_after[name])
        }
        assert different
        assert all(name.startswith(changed) for name in different), different


def test_stopped_and_run_again_it_comes_to_the_same_weights(run_dir, start, tmp_path):
    """With T5's own dropout at work."""
    settings = {
        "max_steps": 60,
        "batch_size": 2,
        "gradient_accumulation": 2,
        "lora_dropout": 0.1,
        "learning_rate": 0.01,
    }
    base = {"path": str(tiny_t5(tmp_path / "t5", dropout=0.1))}
    undisturbed = run_dir("sft", files(), settings, base=base, name="undisturbed")
    finished(undisturbed)
    disturbed = run_dir("sft", files(), {**settings, "save_every": 7}, base=base, name="disturbed")
    process = start(disturbed)
    process.wait_for_step(10)
    assert process.terminate() == 0
    process = start(disturbed)
    process.wait_for_step(25)
    process.kill()
    assert finished(disturbed)["attempt"] == 3
    weights = [(folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (undisturbed, disturbed)]
    assert weights[0] == weights[1]


def test_activations_computed_twice_change_nothing(bases, run_dir):
    losses = []
    for kept in ("off", "on"):
        settings = {**FP32, "max_steps": 4, "learning_rate": 0.01, "checkpointing": kept}
        folder = run_dir("sft", {"train": dialogues()}, settings, base={"path": str(bases["t5"])}, name=kept)
        finished(folder)
        losses.append([event["values"]["loss"] for event in events(folder, "metric")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


# --- Writing and measuring -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t5", "flan", "bart"])
@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_answers_in_padded_batches_are_those_of_transformers(bases, run_dir, name, penalty):
    asked = [row["messages"][0]["content"] for row in dialogues()[:7]] + ["a", "say " + "b c " * 9]
    prompts = [{"id": number, "messages": [user(text)]} for number, text in enumerate(asked)]
    settings = {"max_new_tokens": 12, "batch_size": 4, "precision": "fp32", "repetition_penalty": penalty}
    folder = run_dir("generate", {"prompts": prompts}, settings, base={"path": str(bases[name])})
    finished(folder)
    found = {row["id"]: row["text"] for row in rows_of(folder / "outputs.jsonl")}
    theirs = written_by_transformers(bases[name], asked, 12, repetition_penalty=penalty)
    assert [found[number] for number in range(len(asked))] == theirs
    assert len(set(theirs)) > 3


def test_a_sampled_answer_depends_on_its_seed_and_not_on_its_batch(bases, run_dir):
    prompts = [{"id": n, "messages": row["messages"][:1]} for n, row in enumerate(dialogues()[:5])]
    texts = []
    for name, more in (("a", {"batch_size": 1}), ("b", {"batch_size": 7}), ("c", {"batch_size": 7, "seed": 1})):
        settings = {"max_new_tokens": 8, "temperature": 1.0, "n": 2, "precision": "fp32", **more}
        folder = run_dir("generate", {"prompts": prompts}, settings, base={"path": str(bases["t5"])}, name=name)
        finished(folder)
        texts.append({(row["id"], row["index"]): row["text"] for row in rows_of(folder / "outputs.jsonl")})
    assert texts[0] == texts[1] != texts[2]
    assert any(texts[0][n, 0] != texts[0][n, 1] for n in range(5))


def test_the_summarisation_job_from_a_shell(bases, run_dir, tmp_path):
    """Answers and ROUGE before, the training, answers and ROUGE after, the difference; merged it writes the same."""
    base = {"path": str(bases["t5"])}
    prompts = [{"id": number, "messages": row["messages"][:1]} for number, row in enumerate(dialogues())]
    references = {number: [row["messages"][1]["content"]] for number, row in enumerate(dialogues())}
    tuned = run_dir(
        "sft",
        {"train": dialogues()},
        {**LEARN, "lora_r": 32, "max_steps": 200, "learning_rate": 0.01},
        base=base,
        name="tuned",
    )
    finished(tuned)
    merged = tmp_path / "merged"
    assert main(["merge", str(bases["t5"]), str(tuned / "adapter"), str(merged)]) == 0
    written = {}
    bases_used = {"before": base, "after": {**base, "adapter": str(tuned / "adapter")}, "merged": {"path": str(merged)}}
    for name, used in bases_used.items():
        folder = run_dir("generate", {"prompts": prompts}, {"max_new_tokens": 8}, base=used, name=name)
        finished(folder)
        written[name] = {row["id"]: row["text"] for row in rows_of(folder / "outputs.jsonl")}
    assert written["merged"] == written["after"]
    predictions = [{"id": n, "text": text, "references": references[n]} for n, text in written["after"].items()]
    baseline = [{"id": n, "text": text} for n, text in written["before"].items()]
    measured = run_dir("evaluate", {"predictions": predictions, "baseline": baseline}, {"resamples": 200}, name="rouge")
    result = finished(measured)
    assert result["metrics"]["rougeL"]["value"] > 90
    assert result["differences"]["rougeL"]["lower"] > 50


def test_what_it_finds_likely(bases, run_dir):
    """Perplexity of answers and of plain texts (whose first half is read), and pairs, by transformers' model."""
    from transformers import AutoModelForSeq2SeqLM

    path, base = bases["bart"], {"path": str(bases["bart"])}
    model = AutoModelForSeq2SeqLM.from_pretrained(path, dtype=torch.float32).eval()
    tokenizer = load_tokenizer(str(path))

    def logprob(prompt: list[int], answer: list[int]) -> float:
        with torch.no_grad():
            return -len(answer) * model(torch.tensor([prompt]), labels=torch.tensor([answer])).loss.item()

    rows = dialogues()[:3]
    texts = [[tokenizer(message["content"])["input_ids"] for message in row["messages"]] for row in rows]
    by_hand = math.exp(-sum(logprob(*one) for one in texts) / sum(len(answer) for _, answer in texts))
    suite = {"precision": "fp32", "resamples": 200, "suite": "perplexity"}
    found = finished(run_dir("evaluate", {"texts": rows}, suite, base=base, name="answers"))
    assert found["metrics"]["perplexity"]["value"] == pytest.approx(by_hand, rel=1e-4)
    ids = tokenizer("a b c d e f")["input_ids"]
    by_hand = math.exp(-logprob(ids[:4], ids[4:]) / 4)
    found = finished(run_dir("evaluate", {"texts": [{"text": "a b c d e f"}]}, suite, base=base, name="plain"))
    assert found["metrics"]["perplexity"]["value"] == pytest.approx(by_hand, rel=1e-4)

    rows = preference_rows()
    wins = []
    for row in rows:
        prompt, *both = (tokenizer(row[key][0]["content"])["input_ids"] for key in ("prompt", "chosen", "rejected"))
        wins.append(float(logprob(prompt, both[0]) > logprob(prompt, both[1])))
    suite = {"precision": "fp32", "suite": "preference-accuracy"}
    folder = run_dir("evaluate", {"pairs": rows}, suite, base=base, name="pairs")
    finished(folder)
    assert [row["logprob_accuracy"] for row in rows_of(folder / "scores.jsonl")] == wins
    assert 0 < sum(wins) < len(wins)


def test_suites_that_ask_a_model_know_it(bases, run_dir, tmp_path):
    """Forgetting, answers with their likeness by an encoder, and a task's choices."""
    base = {"path": str(bases["t5"])}
    folder = run_dir("sft", {"train": dialogues()}, {**LEARN, "max_steps": 30}, base=base, name="tuned")
    finished(folder)
    adapted = {**base, "adapter": str(folder / "adapter")}
    found = finished(run_dir("evaluate", {}, {"suite": "forgetting"}, base=adapted, name="forgot"))["metrics"]
    assert found["perplexity_ratio"]["value"] > 1.01
    assert {found[name]["n"] for name in ("accuracy", "base_accuracy", "accuracy_change")} == {96}
    items = [{"id": 1, "messages": [user("say one what ? one say a .")], "references": ["one a"]}]
    asked = run_dir("evaluate", {"items": items}, {"suite": "answers"}, base=base, name="answers", embedder=base)
    finished(asked)
    assert -1 <= rows_of(asked / "answers.jsonl")[0]["similarity"] <= 1
    task = {"task": "t", "output_type": "multiple_choice", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}"}
    task["doc_to_choice"] = ["a", "b c"]
    rows = [{"q": "say a", "a": 0}, {"q": "say b", "a": 1}]
    chosen = run_dir("evaluate", {"task": [task], "rows": rows}, {"suite": "task"}, base=base, name="task")
    finished(chosen)
    model, tokenizer = load_base(str(bases["t5"])), load_tokenizer(str(bases["t5"]))
    labels = torch.tensor([tokenizer("b c", add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = model(torch.tensor([tokenizer("say a")["input_ids"]]), labels=labels).loss.item()
    assert rows_of(chosen / "scores.jsonl")[0]["loglikelihoods"][1] == pytest.approx(-2 * loss, rel=0.02)


def test_it_is_estimated_as_it_runs(bases, run_dir):
    settings = {"epochs": 2, "batch_size": 2, "precision": "fp32"}
    folder = run_dir("sft", files(), settings, base={"path": str(bases["t5"])})
    found = estimate_of(folder, RunDirectory(folder).spec(), seconds=1)
    result = finished(folder)
    assert found["steps"] == result["steps"]
    assert found["tokens"] == pytest.approx(result["tokens"], rel=0.02)
    assert all(seconds > 0 for seconds in found["parts"].values())


# --- Rows ------------------------------------------------------------------------------------------------------------


def test_a_conversation_is_written_plainly():
    system = {"role": "system", "content": "be good"}
    assert plainly([user("say a")]) == "say a"
    assert plainly([system, user("say a")]) == "be good\nsay a"
    turns = [system, user("say a"), assistant("a"), user("say b")]
    assert plainly(turns) == "be good\nUser: say a\nAssistant: a\nUser: say b\nAssistant:"


def test_prompt_and_answer_each_have_the_whole_length(bases, run_dir):
    rows = [*dialogues(), {"messages": [user("say " + "a " * 30), assistant("b " * 15)]}]
    rows.append({"messages": [user("say b"), assistant("b " * 30)]})
    folder = run_dir("sft", {"train": rows}, {"max_steps": 1, "max_length": 16}, base={"path": str(bases["bart"])})
    assert finished(folder)["rows"] == 16
    (warning,) = events(folder, "warning")
    assert "2 were left out (lines 17, 18): max_length is 16 tokens." in warning["message"]
    (cut,) = rows_in(bases["bart"], [{"messages": [user("say " + "a " * 30), assistant("b")]}], max_length=16)
    tokenizer = load_tokenizer(str(bases["bart"]))
    assert tokenizer.decode(cut.prompt) == "<s> " + "a " * 14 + "</s>"
    # BART has places for 128 tokens, whatever max_length says.
    (cut,) = rows_in(bases["bart"], [{"messages": [user("a " * 300), assistant("b")]}], max_length=1024)
    assert len(cut.prompt) == 128


def test_a_chat_template_is_kept_to_where_there_is_one(tmp_path):
    path = tiny_t5(tmp_path / "t5")
    tokenizer = load_tokenizer(str(path))
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} </s>{% endfor %}"
    tokens = tokens_of(tokenizer, str(path))
    assert tokenizer.decode(tokens.prompt([user("say a")])).split() == ["<unk>", "say", "a", "</s>"]
    assert tokenizer.decode(tokens.answer([user("say a")], "b")).split() == ["<unk>", "b", "</s>"]


@pytest.mark.parametrize("recipe", ["reward", "grpo", "rloo", "ppo"])
def test_recipes_that_it_cannot_learn_by_are_refused_in_words(bases, run_dir, recipe):
    rows = preference_rows() if recipe == "reward" else [{"prompt": [user("say a")]}]
    settings = {} if recipe == "reward" else {"rule_max_words": 3}
    kind, words = failure(run_dir(recipe, {"train": rows}, settings, base={"path": str(bases["t5"])}))
    assert kind == "bad_run"
    assert f"is an encoder–decoder, and {recipe} is for causal models: sft, dpo, kto, orpo, simpo tune it." in words


def test_queries_and_values_of_a_causal_model_too(bases, run_dir):
    """And with lora_layers, on the last of an encoder–decoder: of both its halves."""
    settings = {**FP32, "max_steps": 2, "lora_targets": "query-value"}
    folder = run_dir("sft", {"train": echo_rows()}, settings)
    finished(folder)
    assert {name.rsplit(".", 1)[-1] for name in adapter_shapes(folder / "adapter")} == {"q_proj", "v_proj"}
    model = attach_lora(load_base(str(bases["t5"]), "fp32"), SftSettings(lora_layers=1))
    changed = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.removeprefix("base_model.model.")[:15] for name in changed} == {"encoder.block.1", "decoder.block.1"}
