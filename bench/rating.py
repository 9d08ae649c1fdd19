"""Next + submit in the server, one rater: one request that stores a judgment and answers the next task."""

import time
import uuid
from statistics import median, quantiles

from django.db import connection

from .cast import admin, answers, api_of, pairwise_tasks, rater

SIZES = (1_000, 20_000, 1_000_000)
VOTES = 300


def run() -> list[dict]:
    return [_measure(size) for size in SIZES]


def _measure(size: int) -> dict:
    from feedbackhub.projects.services import project_create

    project = project_create(by=admin(), slug=f"rating-{size}", name=f"{size} tasks")
    answers(project, prompts=size, models=2)
    pairwise_tasks(project)
    api = api_of(rater(project))
    task = api.post(f"/api/v1/projects/{project.slug}/tasks/next/").json()
    seconds = []
    for _ in range(VOTES):
        shown = [output["id"] for output in task["outputs"]]
        body = {"key": str(uuid.uuid4()), "ranking": [[one] for one in shown], "shown": shown, "duration_ms": 900}
        started = time.perf_counter()
        answer = api.post(f"/api/v1/tasks/{task['id']}/judgments/?next=1", body, format="json")
        seconds.append(time.perf_counter() - started)
        assert answer.status_code == 201, answer.content
        task = answer.json()["next_task"]
    return {
        "database": connection.vendor,
        "tasks": size,
        "votes": VOTES,
        "median_ms": 1000 * median(seconds),
        "p95_ms": 1000 * quantiles(seconds, n=20)[-1],
    }
