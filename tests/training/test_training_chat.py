"""Chat: loaded models answer what comes into their inbox, the same as in a batch; stopped, resumed, and left alone."""

import json

import pytest
from seq2seq_cast import tiny_t5
from training_cast import assistant, events, finished, rows_of, tiny_model, user

from training.directory import RunDirectory

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
