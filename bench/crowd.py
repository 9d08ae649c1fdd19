"""Raters at once over HTTP, server (as `manage.py up` serves) and load generator on the same cores.

drain: 8 raters judge 1,000 tasks as fast as they can. crowd: 200 simulated raters, each thinking 5 s between the answer
and the next vote, for five minutes. Fails where a request fails, a task has more judgments than it wants, an
acknowledged judgment is not in the database, or the tallies differ from the judgments; says which goals are missed.
"""

import asyncio
import os
import time
from random import Random

from django.db import connection
from django.db.models import Count, F, Q

from .cast import admin, rater, tasks_make, vote
from .load import Browser, Took
from .servers import feedbackhub, free_port

QUICK = "BENCH_QUICK" in os.environ
DRAINING = {"raters": 8, "tasks": 1_000}
CROWD = {"raters": 200, "tasks": 20_000}
THINK_SECONDS = 5
SECONDS = 30 if QUICK else 300
VOTES_A_SECOND_AT_LEAST = 100
P95_MS_AT_MOST = 250


def run() -> list[dict]:
    port = free_port()
    with feedbackhub(port):
        return [drain(port), crowd(port)]


def missed(rows: list[dict]) -> list[str]:
    drained, crowded = rows
    found = []
    if (fast := drained["votes_a_second"]) < VOTES_A_SECOND_AT_LEAST:
        found.append(f"{drained['database']}: {fast:.0f} votes a second, not {VOTES_A_SECOND_AT_LEAST}")
    if (slow := crowded["p95_ms"]) >= P95_MS_AT_MOST:
        found.append(f"{crowded['database']}: 95 % within {slow:.0f} ms, not {P95_MS_AT_MOST}")
    return found


def drain(port: int) -> dict:
    project, browsers = _stage(port, "drain", **DRAINING, judgments_wanted=1)
    took, acknowledged = Took(), []

    async def rate(browser: Browser) -> None:
        task = await _first_task(browser, project)
        took.begin()
        while task:
            task = await _judge(browser, task, took, acknowledged)
        took.end()

    _together(rate, browsers)
    figures = took.figures()
    assert len(acknowledged) == DRAINING["tasks"], f"{len(acknowledged)} votes for {DRAINING['tasks']} tasks"
    _check(project, acknowledged)
    return {"database": connection.vendor, "what": "drain", "think_s": 0, **DRAINING, **figures}


def crowd(port: int) -> dict:
    project, browsers = _stage(port, "crowd", **CROWD, judgments_wanted=2)
    took, acknowledged, random = Took(), [], Random(0)
    end = time.perf_counter() + SECONDS

    async def rate(browser: Browser) -> None:
        await asyncio.sleep(random.uniform(0, THINK_SECONDS))  # nobody begins at the same moment
        task = await _first_task(browser, project)
        took.begin()
        while time.perf_counter() < end:
            await asyncio.sleep(THINK_SECONDS)
            task = await _judge(browser, task, took, acknowledged)
        took.end()

    _together(rate, browsers)
    figures = took.figures()
    _check(project, acknowledged)
    return {"database": connection.vendor, "what": "crowd", "think_s": THINK_SECONDS, **CROWD, **figures}


def _stage(port: int, name: str, *, raters: int, tasks: int, judgments_wanted: int):
    from feedbackhub.accounts.services import token_create
    from feedbackhub.projects.services import project_create

    project = project_create(by=admin(), slug=name, name=name)
    tasks_make(project, tasks=tasks, judgments_wanted=judgments_wanted)
    users = [rater(project, f"simulated-{number}") for number in range(raters)]
    for user in users:
        user.is_simulated = True
        user.save(update_fields=["is_simulated"])
    return project, [Browser(port, {"Authorization": f"Token {token_create(user=user)}"}) for user in users]


def _together(rate, browsers: list[Browser]) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*map(rate, browsers))
        for browser in browsers:
            browser.close()

    asyncio.run(all_of_them())


async def _first_task(browser: Browser, project) -> dict:
    answer = await browser.send("POST", f"/api/v1/projects/{project.slug}/tasks/next/")
    assert answer.status == 200, answer
    return answer.json()


async def _judge(browser: Browser, task: dict, took: Took, acknowledged: list) -> dict | None:
    body = vote(task)
    with took.clock():
        answer = await browser.send("POST", f"/api/v1/tasks/{task['id']}/judgments/?next=1", body)
    assert answer.status == 201, answer
    said = answer.json()
    assert said["counted"], answer
    acknowledged.append((said["id"], body["key"], task["id"]))
    return said["next_task"]


def _check(project, acknowledged: list[tuple[int, str, int]]) -> None:
    """What was acknowledged, and nothing else, is stored; no task has more judgments than it wants."""
    from feedbackhub.rating.models import Judgment, Task
    from feedbackhub.rating.services import tallies_check

    stored = Judgment.objects.filter(project=project).values_list("pk", "key", "task_id")
    assert sorted(acknowledged) == sorted((pk, str(key), task) for pk, key, task in stored)
    counted = Count("judgments", filter=Q(judgments__counted=True))
    assert not Task.objects.filter(project=project).annotate(n=counted).filter(n__gt=F("judgments_wanted")).exists()
    assert tallies_check(project=project) == []
