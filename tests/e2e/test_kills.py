"""kill -9 of every process in mid-use: nothing accepted is lost or doubled, and the round goes on."""

import json
import shutil
import threading
import time
import urllib.request
import uuid

import psutil
import pytest
from live_site import TOKEN, wait_for

pytestmark = pytest.mark.timeout(3000)
PAIRS = 150


@pytest.fixture
def work(site):
    """A project with answers to pair and a rater's token."""
    site.call("POST", "projects/", {"slug": "kill", "name": "Kill", "judgments_per_task": 1})
    member = site.call("POST", "projects/kill/members/", {"username": "kill-rater", "role": "rater"})[1]
    rows = [
        {"prompt": f"What is {n} plus {n}?", "split": "train", "outputs": [_answer("red", n), _answer("blue", n)]}
        for n in range(PAIRS)
    ]
    _import(site, rows)
    made = site.call("POST", "projects/kill/tasks/", {"models": ["red", "blue"]})
    assert made[1]["created"] == PAIRS, made
    return member["token"]


def _answer(model: str, n: int) -> dict:
    return {"model": model, "text": f"{model} says that it is {2 * n}."}


def _import(site, rows: list[dict]) -> None:
    boundary = uuid.uuid4().hex
    content = "\n".join(json.dumps(row) for row in rows)
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="kind"\r\n\r\noutputs\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="rows.jsonl"\r\n'
        f"Content-Type: application/jsonl\r\n\r\n{content}\r\n--{boundary}--\r\n"
    ).encode()
    headers = {"Authorization": f"Token {TOKEN}", "Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"{site.url}/api/v1/projects/kill/imports/", body, headers, method="POST")
    report = json.loads(urllib.request.urlopen(request, timeout=30).read())["id"]
    wait_for(lambda: site.call("GET", f"imports/{report}/")[1]["status"] == "done", seconds=180, what="the import")


class Rater(threading.Thread):
    """Rates until nothing is left; keeps the key of a judgment until it is acknowledged, whatever dies meanwhile."""

    def __init__(self, site, token: str):
        super().__init__(daemon=True)
        self.site, self.token = site, token
        self.acknowledged: list[str] = []
        self.interruptions = 0

    def run(self) -> None:
        while task := self._insist("POST", "projects/kill/tasks/next/"):
            shown = [output["id"] for output in task["outputs"]]
            key = str(uuid.uuid4())
            body = {"key": key, "ranking": [[one] for one in shown], "shown": shown, "duration_ms": 100}
            self._insist("POST", f"tasks/{task['id']}/judgments/", body)
            self.acknowledged.append(key)
            time.sleep(0.05)  # a person thinks; it leaves the kills time to fall between two votes

    def _insist(self, method: str, path: str, body: dict | None = None) -> dict:
        while True:
            try:
                status, answer = self.site.call(method, path, body, self.token)
            except (OSError, ValueError):
                status, answer = 0, {}
            if status in (200, 201, 204):
                return answer
            assert status in (0, 502, 503), (status, answer)
            self.interruptions += 1
            time.sleep(0.1)


def _kill(processes: list[psutil.Process]) -> None:
    assert processes, "there was nothing to kill"
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=60)


def test_nothing_is_lost_when_everything_is_killed_in_turn(site, work):
    rater = Rater(site, work)
    rater.start()
    wait_for(lambda: len(rater.acknowledged) >= 20, seconds=180, what="twenty votes")
    _kill(site.processes("uvicorn"))
    wait_for(site.answers, seconds=180, what="the web server to be back")

    wait_for(lambda: len(rater.acknowledged) >= 40, seconds=180, what="forty votes")
    dataset = site.call("POST", "projects/kill/datasets/", {"kind": "preference"})[1]["id"]
    settings = {"max_steps": 12, "batch_size": 2, "save_every": 2, "sample_count": 0}
    body = {"recipe": "dpo", "base_model": "smollm2-135m", "dataset": dataset, "settings": settings}
    tuning_round = site.call("POST", "projects/kill/rounds/", body)[1]["id"]
    site.call("POST", f"rounds/{tuning_round}/launch/")

    def metrics() -> int:
        events = site.call("GET", f"rounds/{tuning_round}/events/")[1]["results"]
        return sum(event["type"] == "metric" for event in events)

    wait_for(lambda: metrics() >= 3, seconds=600, what="the third training step")
    _kill(site.processes("-m training run"))
    wait_for(lambda: site.processes("-m training run"), seconds=180, what="the training process to be started again")
    _kill(site.processes("rqworker"))
    valkey = site.processes("valkey-server")
    shutil.rmtree(site.home / "valkey", ignore_errors=True)
    _kill(valkey)

    def state() -> str:
        try:
            return site.call("GET", f"rounds/{tuning_round}/")[1].get("state", "")
        except OSError:
            return ""

    wait_for(lambda: state() in ("completed", "failed"), seconds=900, what="the round's end")
    rater.join(120)
    assert not rater.is_alive(), "the rater could not finish"
    found = site.call("GET", f"rounds/{tuning_round}/")[1]
    assert found["state"] == "completed", found
    assert found["attempts"] >= 2
    steps = [
        event["step"]
        for event in site.call("GET", f"rounds/{tuning_round}/events/")[1]["results"]
        if event["type"] == "metric" and event.get("split", "train") == "train"
    ]
    assert max(steps) == 12

    assert rater.interruptions > 0
    assert len(rater.acknowledged) == PAIRS
    path = "projects/kill/judgments/?limit=1000"
    stored = [one["key"] for one in site.call("GET", path, token=work)[1]["results"]]
    assert sorted(stored) == sorted(rater.acknowledged)
    assert site.call("GET", "projects/kill/leaderboard/")[1]["votes"] == PAIRS
