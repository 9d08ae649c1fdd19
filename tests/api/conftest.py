"""A project as a script would set it up: everything through the API, jobs worked off by a real queue."""

import io
import json
import uuid

import pytest


@pytest.fixture
def upload(queue, project, api_of, alice):
    """upload("outputs", rows) → the import's report, once it is done."""
    api = api_of(alice)

    def send(kind, rows, **fields):
        file = io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        file.name = "rows.jsonl"
        answer = api.post(f"/api/v1/projects/{project.slug}/imports/", {"kind": kind, "file": file, **fields})
        assert answer.status_code == 202, answer.content
        queue()
        return api.get(f"/api/v1/imports/{answer.json()['id']}/").json()

    return send


@pytest.fixture
def outputs(upload):
    """outputs(n): n prompts with an answer each by red, green and blue."""

    def make(n=3, models=("red", "green", "blue")):
        rows = [
            {
                "id": number,
                "prompt": f"Question {number}?",
                "category": "even" if number % 2 == 0 else "odd",
                "split": "train",
                "outputs": [{"model": model, "text": f"{model} answers {number}"} for model in models],
            }
            for number in range(n)
        ]
        report = upload("outputs", rows)
        assert report["status"] == "done", report
        return report

    return make


@pytest.fixture
def judgment_of():
    """judgment_of(task, winner=0): a CONTRACT judgment in which the output shown at that place is best."""

    def make(task, winner=0, **fields):
        shown = [output["id"] for output in task["outputs"]]
        ranking = [[shown[winner]], *([one] for one in shown if one != shown[winner])]
        return {"key": str(uuid.uuid4()), "ranking": ranking, "shown": shown, "duration_ms": 1200, **fields}

    return make
