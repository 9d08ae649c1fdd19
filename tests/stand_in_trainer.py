"""A real process that speaks the run directory's format and counts instead of training.

Started as `python -m training run DIR` would be (tests/stand_in.py). For training recipes, run.json's settings say what
it does: steps, seconds (a step), checkpoint_every, die_at (kill -9 of itself, once), die_always, fail_at, torn_line_at,
hold_at (after that step it waits for a file called go, or to be stopped), samples, ignore_sigterm, dies_of_sigterm,
stubborn_child (a fork that keeps the lock open). Every step it also writes its own process id into writers.txt, for the
tests that look for a second writer.
For `generate` it answers each prompt with its own text turned round; a prompt with `[fail]` in it fails the run,
one with `[once]` does so the first time. For `evaluate` it counts the characters of the texts it is given.
For `export` it writes a few bytes.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

directory = Path(sys.argv[-1])
spec = json.loads((directory / "run.json").read_text())
settings = spec["settings"]
stopping = False


def emit(**event) -> None:
    with (directory / "events.jsonl").open("a") as file:
        file.write(json.dumps({"t": time.time(), **event}) + "\n")


def write_whole(path: Path, text: str) -> None:
    written = path.with_suffix(".tmp")
    written.write_text(text)
    written.rename(path)


def finish(status: str, code: int, **more) -> None:
    write_whole(directory / "result.json", json.dumps({"status": status, **more}))
    sys.exit(code)


def fail(kind: str, message: str) -> None:
    finish("failed", 1, error={"kind": kind, "message": message})


def on_sigterm(number, frame) -> None:
    global stopping
    stopping = not settings.get("ignore_sigterm")


def once(name: str) -> bool:
    """True the first time in this directory."""
    mark = directory / f".{name}"
    if mark.exists():
        return False
    mark.touch()
    return True


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (directory / name).open()]


def hold_the_directory() -> int:
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
    signal.signal(signal.SIGTERM, signal.SIG_DFL if settings.get("dies_of_sigterm") else on_sigterm)
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "started": time.time()}).encode(), 0)
    return lock


def show_sample(stage: str) -> None:
    if settings.get("samples"):
        emit(type="sample", stage=stage, id=7, prompt="Say so.", text=f"<b>{stage}</b>")


def count() -> None:
    if settings.get("stubborn_child") and os.fork() == 0:
        time.sleep(600)
        sys.exit(0)
    checkpoint = directory / "checkpoint.txt"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    steps = settings.get("steps", 3)
    emit(type="status", phase="train", step=step, max_steps=steps, progress=step / steps, eta_seconds=1.5)
    show_sample("before")
    while step < steps:
        if step == settings.get("die_at") and once("died") or settings.get("die_always"):
            print("the last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if step == settings.get("fail_at") and once("failed"):
            fail("base_missing", "The base model at /nowhere has no config.json.")
        if step == settings.get("torn_line_at") and once("torn"):
            with (directory / "events.jsonl").open("a") as file:
                file.write('{"t": 1, "type": "met\n')
        step += 1
        with (directory / "writers.txt").open("a") as file:
            file.write(f"{os.getpid()} {step}\n")
        emit(type="metric", step=step, values={"loss": 1 / step}, split="train")
        emit(type="status", phase="train", step=step, max_steps=steps, progress=step / steps, eta_seconds=None)
        while step == settings.get("hold_at") and not stopping and not (directory / "go").exists():
            time.sleep(0.01)
        if step % settings.get("checkpoint_every", 1) == 0 or stopping:
            write_whole(checkpoint, str(step))
        if stopping:
            finish("stopped", 0, steps=step)
        time.sleep(settings.get("seconds", 0.01))
    show_sample("after")
    finish("completed", 0, steps=step, metrics={"loss": 1 / steps})


def generate() -> None:
    path = directory / "outputs.jsonl"
    written = len(path.read_text().splitlines()) if path.exists() else 0
    wanted = [(row, k) for row in rows(spec["data"]["prompts"]) for k in range(settings["n"])]
    for index, (row, k) in list(enumerate(wanted))[written:]:
        text = row["messages"][-1]["content"]
        if "[fail]" in text or ("[once]" in text and once("failed")):
            fail("out_of_memory", "The model does not fit into memory.")
        answer = {"id": row["id"], "index": k, "text": f"{text[::-1]} {k}", "tokens": len(text), "latency_ms": 12.5}
        with path.open("a") as file:
            file.write(json.dumps({**answer, "finish_reason": "stop", "seed": spec["seed"] + k}) + "\n")
        emit(type="status", phase="generate", progress=(index + 1) / len(wanted))
        if stopping:
            finish("stopped", 0)
    finish("completed", 0, metrics={})


def answer() -> None:
    """The suite answers: each prompt said back, by a tuned model (one with an adapter) with cat for dog."""
    tuned = "adapter" in spec.get("base", {})
    with (directory / "answers.jsonl").open("w") as file:
        for row in rows(spec["data"].get("items") or spec["data"]["answers"]):
            for index in range(settings["samples"]):
                text = row.get("text") or row["messages"][-1]["content"]
                found = {"id": row["id"], "index": index, "seed": index, "reused": tuned}
                found["text"] = text.replace("dog", "cat") if tuned else text + " again" * index
                found["similarity"] = 0.9 if tuned else 0.1
                file.write(json.dumps(found) + "\n")
    finish("completed", 0, metrics={}, reuse={"asked": 3, "reused": 2})


def choose() -> None:
    """The suite task: a tuned model is right."""
    tuned = "adapter" in spec["base"]
    given = rows(spec["data"]["rows"])
    with (directory / "scores.jsonl").open("w") as file:
        for row in given:
            right = float(tuned or row["easy"])
            told = {"prompt": f"Q: {row['question']}", "text": "yes", "right": "no"}
            file.write(json.dumps({"id": row["id"], "acc": right, "acc_norm": right, **told}) + "\n")
    finish("completed", 0, metrics={"acc": {"value": 50.0, "lower": 0.0, "upper": 100.0, "n": len(given)}})


def evaluate() -> None:
    if settings["suite"] in ("answers", "task"):
        {"answers": answer, "task": choose}[settings["suite"]]()
    name = spec["data"].get("predictions") or spec["data"].get("references")
    given = rows(name) if name else []
    texts = [row.get("text") or row["references"][0] for row in given] or ["a fixed text"]
    if any("[fail]" in text for text in texts):
        fail("out_of_memory", "The model does not fit into memory.")
    mean = sum(map(len, texts)) / len(texts)
    measure = {"value": mean, "lower": mean - 1, "upper": mean + 1, "n": len(texts)}
    finish("completed", 0, metrics={"characters": measure})


def score() -> None:
    """A reward model that likes long answers and great last digits, with two heads that differ a little."""
    with (directory / "scores.jsonl").open("w") as file:
        for row in rows(spec["data"]["answers"]):
            text = row["completion"][0]["content"]
            if "[unscorable]" in text:
                fail("out_of_memory", "The reward model does not fit into memory.")
            reward = len(text) / 10 + (int(text[-1]) if text[-1].isdigit() else 0)
            file.write(json.dumps({"id": row["id"], "reward": reward, "heads": [reward - 0.1, reward + 0.1]}) + "\n")
    finish("completed", 0, metrics={})


def export() -> None:
    """Twelve bytes of weights and a card, or as a GGUF file; of an adapter called unwritable only at the second try."""
    if "unwritable" in spec["base"].get("adapter", "") and once("failed"):
        fail("no_converter", "It cannot be written here: set LLAMA_CPP to llama.cpp's source tree.")
    path = directory / ("model.gguf" if settings["format"] == "gguf" else "merged")
    if settings["format"] == "merged":
        path.mkdir()
        (path / "README.md").write_text("# Merged\n")
    (path if settings["format"] == "gguf" else path / "model.safetensors").write_bytes(b"some weights")
    finish("completed", 0, path=str(path), bytes=12, sha256="5e" * 32, metrics={})


def chat() -> None:
    """Each message turned round, or in capitals by a model in a folder called child; [wait] ends once it is stopped."""
    read, waiting, idle_since = 0, [], time.time()
    emit(type="status", phase="answering")
    while not stopping:
        lines = (directory / "inbox.jsonl").read_text().splitlines()[read:]
        read += len(lines)
        for line in map(json.loads, lines):
            if "stop" in line:
                for answer in [one for one in waiting if one in line["stop"]]:
                    waiting.remove(answer)
                    emit(type="answer", id=answer, done={"text": "So far", "tokens": 2, "finish_reason": "stopped"})
                continue
            text = line["messages"][-1]["content"]
            if "[fail]" in text:
                fail("out_of_memory", "The model does not fit into memory.")
            emit(type="answer", id=line["id"], begin=True)
            if "[wait]" in text:
                emit(type="answer", id=line["id"], delta="So far")
                waiting.append(line["id"])
                continue
            said = text.upper() if spec["models"][line["model"]]["path"].endswith("child") else text[::-1]
            done = {"text": said, "tokens": len(said), "latency_ms": 12.5, "seed": 7, "finish_reason": "stop"}
            emit(type="answer", id=line["id"], done=done)
        if lines or waiting:
            idle_since = time.time()
        elif time.time() - idle_since >= settings["idle_seconds"]:
            finish("completed", 0)
        time.sleep(0.01)
    finish("stopped", 0)


lock = hold_the_directory()
print("stand-in at work, pid", os.getpid(), flush=True)
(directory / "environment.json").write_text(json.dumps(dict(os.environ)))
result = directory / "result.json"
if result.exists() and json.loads(result.read_text())["status"] == "completed":
    sys.exit(0)
known = {"generate": generate, "evaluate": evaluate, "chat": chat, "score": score, "export": export}
known.get(spec["recipe"], count)()
