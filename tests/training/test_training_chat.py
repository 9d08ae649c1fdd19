"""Chat: loaded models answer what comes into their inbox, the same as in a batch; stopped, resumed, and left alone.

Models of one base hold it once, and each says what it says when it is loaded alone.
"""

import json
import shutil

import pytest
from seq2seq_cast import tiny_t5
from training_cast import assistant, events, finished, rows_of, tiny_model, user

from training.chat import speakers_of
from training.config import GenerateSettings
from training.directory import RunDirectory
from training.models import load_base, merge_into

HOW = {"max_new_tokens": 12, "temperature": 0.0}
ASKED = [user("say a b c")]


def ask(folder, *lines: dict) -> None:
    with (folder / "inbox.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def asked(number: int, messages=ASKED, model="left", **settings) -> dict:
    return {"id": number, "model": model, "messages": messages, "settings": {**HOW, **settings}, "seed": 5}


def told(folder) -> dict[int, dict]:
    """{id: what was said when the answer was done}"""
    return {event["id"]: event["done"] for event in events(folder) if event["type"] == "answer" and "done" in event}


def chat_dir(run_dir, tiny, idle: float, name="run"):
    models = {side: {"path": str(tiny)} for side in ("left", "right")}
    settings = {"idle_seconds": idle, "precision": "fp32"}
    return run_dir("chat", {}, settings, name=name, models=models)


@pytest.mark.parametrize("make", [tiny_model, tiny_t5])
def test_answers_are_those_of_generate_turn_after_turn(run_dir, tmp_path, make):
    """The second turn begins with what the cache holds of the first; another conversation does not."""
    base = make(tmp_path / "base")
    folder = chat_dir(run_dir, base, 0)
    longer = [*ASKED, assistant("d e"), user("say f g")]
    other = [user("say g g")]
    ask(folder, asked(1), asked(2, longer), asked(3, other), asked(4, longer, "right"))
    finished(folder)
    rows = [{"id": n, "messages": messages} for n, messages in enumerate((ASKED, longer, other, longer), 1)]
    plain = run_dir("generate", {"prompts": rows}, {**HOW, "precision": "fp32"}, base={"path": str(base)}, name="plain")
    finished(plain)
    expected = {row["id"]: row for row in rows_of(plain / "outputs.jsonl")}
    done = told(folder)
    assert sorted(done) == [1, 2, 3, 4]
    for number, answer in done.items():
        for name in ("text", "tokens", "finish_reason"):
            assert answer[name] == expected[number][name], (number, name)
    grown = "".join(e.get("delta", "") for e in events(folder) if e["type"] == "answer" and e["id"] == 1)
    assert done[1]["text"].startswith(grown.strip())


def test_what_is_asked_while_it_waits_is_answered_and_what_is_stopped_ends(run_dir, tiny, start):
    folder = chat_dir(run_dir, tiny, 600)
    process = start(folder)
    ask(folder, asked(1))
    process.wait_for(lambda: 1 in told(folder))
    ask(folder, asked(2, max_new_tokens=60, temperature=5.0, repetition_penalty=10.0), {"stop": [2]})
    ask(folder, asked(3, max_new_tokens=4000), asked(4, model="middle"), asked(5, temperature=99))
    process.wait_for(lambda: 5 in told(folder))
    done = told(folder)
    assert done[2]["finish_reason"] == "stopped"
    assert "leaves no room" in done[3]["error"]
    assert '"middle" is none of left, right' in done[4]["error"]
    assert "temperature" in done[5]["error"]
    assert process.terminate() == 0
    assert RunDirectory(folder).result()["status"] == "stopped"
    before = len(events(folder))
    ask(folder, asked(6))
    again = start(folder)
    again.wait_for(lambda: 6 in told(folder))
    assert {e["id"] for e in events(folder)[before:] if e["type"] == "answer"} == {6}, (
        "answered ones are not asked again"
    )


# --- Side by side on one base -----------------------------------------------------------------------------------------


def adapter_on(base, folder, seed=1, **config) -> str:
    """A LoRA that has much to say, as a round leaves one."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "init_lora_weights": False, **config}
    get_peft_model(load_base(str(base), "fp32"), LoraConfig(**config)).save_pretrained(folder)
    return str(folder)


def pair(name: str, folder) -> tuple[dict, dict]:
    """The two models of run.json that go by this name, made in the folder."""
    base = tiny_model(folder / "base")
    parent = {"path": str(base)}

    def child(name="child", of=base, **config) -> dict:
        return {"path": str(of), "adapter": adapter_on(of, folder / name, **config)}

    def elsewhere(**said) -> dict:
        """The same weights in another folder, and what its config.json says otherwise."""
        copy = shutil.copytree(base, folder / "elsewhere")
        if said:
            config = json.loads((copy / "config.json").read_text())
            (copy / "config.json").write_text(json.dumps({**config, **said}))
        return {"path": str(copy)}

    if name in ("encoder–decoder", "an adapter on the merged parent"):
        of, first = folder / "of", child()
        if name == "encoder–decoder":
            return {"path": str(tiny_t5(of))}, child("of-t5", of)
        merge_into(str(base), folder / "child", of)
        return first, child("grandchild", of, seed=2)
    other = {"seed": 2, "r": 2, "target_modules": ["q_proj", "up_proj"]}
    return {
        "parent and child": lambda: (parent, child()),
        "child and parent": lambda: (child(), parent),
        "two children": lambda: (child(), child("other", **other)),
        "one twice": lambda: (child(), {"path": str(base), "adapter": str(folder / "child")}),
        "the same weights elsewhere": lambda: (child(), elsewhere()),
        "DoRA": lambda: (parent, child(use_dora=True)),
        "both in int8": lambda: ({**parent, "quantisation": "int8"}, {**child(), "quantisation": "int8"}),
        "both in nf4": lambda: ({**child(), "quantisation": "nf4"}, {**parent, "quantisation": "nf4"}),
        "one in nf4": lambda: (parent, {**child(), "quantisation": "nf4"}),
        "other weights": lambda: (child(), {"path": str(tiny_model(folder / "stranger", seed=1))}),
        "the same weights read otherwise": lambda: (child(), elsewhere(rms_norm_eps=0.5)),
        "more than a LoRA": lambda: (parent, child(modules_to_save=["lm_head"])),
    }[name]()


ONE_COPY = [
    "parent and child",
    "child and parent",
    "two children",
    "one twice",
    "the same weights elsewhere",
    "DoRA",
    "both in int8",
    "both in nf4",
    "encoder–decoder",
]
TWO_COPIES = [
    "one in nf4",
    "other weights",
    "the same weights read otherwise",
    "an adapter on the merged parent",
    "more than a LoRA",
]


def held(*models: dict) -> int:
    """Bytes of the weights, adapters aside, that a chat of these models holds; what is shared counts once."""
    speakers = speakers_of({"models": {str(n): model for n, model in enumerate(models)}}, "fp32")
    storages = {}
    for speaker in speakers.values():
        for name, weight in speaker.model.named_parameters():
            if ".lora_" not in name:
                storages[weight.untyped_storage().data_ptr()] = weight.untyped_storage().nbytes()
    return sum(storages.values())


@pytest.mark.parametrize("name", ONE_COPY)
def test_models_of_one_base_hold_it_once(tmp_path, name):
    left, right = pair(name, tmp_path)
    assert held(left, right) == held(left) == held(right)


@pytest.mark.parametrize("name", TWO_COPIES)
def test_models_of_different_weights_hold_their_own(tmp_path, name):
    left, right = pair(name, tmp_path)
    assert held(left, right) == held(left) + held(right)


@pytest.mark.parametrize("name", ONE_COPY + TWO_COPIES)
def test_each_says_what_it_says_alone(tmp_path, name):
    """Token by token in turns, greedy and drawn, and where a conversation goes on from what has been read."""
    models = dict(zip(("left", "right"), pair(name, tmp_path)))
    together = conversations(models)
    assert together == {side: conversations({side: model})[side] for side, model in models.items()}
    (left, *_), (right, *_) = together.values()
    assert (left == right) == (name == "one twice")


def test_two_answers_of_one_model_at_once_are_those_one_after_the_other(tiny):
    settings = GenerateSettings(max_new_tokens=12)
    questions = ([user("say a b c")], [user("say g g")])

    def streams() -> list:
        speaker = speakers_of({"models": {"left": {"path": str(tiny)}}}, "fp32")["left"]
        speaker.ends = set()
        list(speaker.speak(speaker.prompt(questions[0], settings), settings, 0))  # both could go on from this
        return [speaker.speak(speaker.prompt(messages, settings), settings, 0) for messages in questions]

    apart = [list(stream) for stream in streams()]
    assert [list(tokens) for tokens in zip(*zip(*streams()))] == apart


def conversations(models: dict) -> dict[str, list[list[int]]]:
    """What each of the models, loaded together, says to three questions, in tokens; one of each in turns."""
    speakers, said = speakers_of({"models": models}, "fp32"), {side: [] for side in models}
    for speaker in speakers.values():
        speaker.ends = set()  # none falls silent, for nothing would be seen then
    longer = [*ASKED, assistant("d e"), user("say f g")]
    drawn = {"temperature": 1.5, "top_p": 0.9}
    for turn, (messages, how) in enumerate([(ASKED, {}), (longer, drawn), ([user("what is red ?")], drawn)]):
        settings = GenerateSettings(max_new_tokens=30, **how)
        streams = {
            side: speaker.speak(speaker.prompt(messages, settings), settings, seed=turn)
            for side, speaker in speakers.items()
        }
        for answers in said.values():
            answers.append([])
        while streams:
            for side, stream in list(streams.items()):
                if (token := next(stream, None)) is None:
                    del streams[side]
                else:
                    said[side][-1].append(token)
    return said


def test_a_model_and_its_parent_answer_as_generate_does(run_dir, tmp_path):
    left, right = pair("parent and child", tmp_path)
    folder = run_dir(
        "chat", {}, {"idle_seconds": 0, "precision": "fp32"}, models={"left": left, "right": right}, name="both"
    )
    ask(folder, asked(1, max_new_tokens=30), asked(2, model="right", max_new_tokens=30))
    finished(folder)
    done = told(folder)
    for number, model in ((1, left), (2, right)):
        rows, how = [{"id": number, "messages": ASKED}], {**HOW, "precision": "fp32", "max_new_tokens": 30}
        plain = run_dir("generate", {"prompts": rows}, how, base=model, name=f"plain{number}")
        finished(plain)
        (expected,) = rows_of(plain / "outputs.jsonl")
        assert (done[number]["text"], done[number]["tokens"]) == (expected["text"], expected["tokens"])
    assert done[1]["text"] != done[2]["text"]
