"""Next + submit and draining, beside Label Studio and Potato: same machine, same client, same number of votes.

Each is served as its own documents advise for more than one person: Label Studio by gunicorn (two workers of four
threads) on PostgreSQL, Potato by gunicorn (one worker, for it keeps its state in the process, of eight threads) on its
files, FeedbackHub by `manage.py up`'s uvicorn on PostgreSQL. A vote is what its own page sends for one: FeedbackHub one
request; Label Studio the annotation and then the next task; Potato the annotation, then the next page.

Needs a gigabyte for the peers' virtual environments, kept in $FEEDBACKHUB_HOME/peers.
"""

import asyncio
import os
import re
from pathlib import Path

from .cast import admin, rater, tasks_make, vote
from .load import Browser, Took
from .servers import feedbackhub, free_port, running, venv

QUICK = "BENCH_QUICK" in os.environ
SIZES = (1_000,) if QUICK else (1_000, 20_000)
VOTES = 40 if QUICK else 200  # by one rater
RATERS = 8
WARM_UP = 20  # votes by each rater that are not measured
DRAINED = 80 if QUICK else 400  # tasks that want one judgment each, until none is left
ANSWER = "model says a sentence. " * 17
PEERS = Path(os.environ.get("BENCH_PEERS", "var/peers"))
HERE = Path(__file__).parent


def run() -> list[dict]:
    home = Path(os.environ["FEEDBACKHUB_HOME"])
    rows = []
    for peer in (FeedbackHub, LabelStudio, Potato):
        for tasks in SIZES:
            with peer(home / f"{peer.__name__}-{tasks}", tasks, raters=1) as site:
                figures = asyncio.run(_rated(site, VOTES))
                rows.append({**site.what(), "what": "one rater", "tasks": tasks, "raters": 1, **figures})
        with peer(home / f"{peer.__name__}-drain", DRAINED + RATERS * WARM_UP, raters=RATERS) as site:
            # Nobody can need more votes than there are tasks: a site that hands out without end is stopped there.
            figures = asyncio.run(_rated(site, DRAINED))
            figures["too_many"] = figures["votes"] - DRAINED
            rows.append({**site.what(), "what": "drain", "tasks": DRAINED, "raters": RATERS, **figures})
    return rows


async def _rated(site, votes: int) -> dict:
    took, warm = Took(), asyncio.Barrier(site.raters)
    await asyncio.gather(*(_rate(site, number, took, warm, votes) for number in range(site.raters)))
    return took.figures()


async def _rate(site, number: int, took: Took, warm: asyncio.Barrier, votes: int) -> None:
    browser = await site.browser(number)
    task = await site.first(browser)
    for _ in range(WARM_UP):
        task = await site.judge(browser, task)
    await warm.wait()
    took.begin()
    for _ in range(votes):
        if task is None:
            break
        with took.clock():
            task = await site.judge(browser, task)
    took.end()
    browser.close()


class Site:
    """A site with `tasks` pairs that want one judgment each, and accounts; running within its `with`."""

    name, version, served = "", "", ""

    def __init__(self, home: Path, tasks: int, raters: int):
        home.mkdir()
        self.home, self.tasks, self.raters, self.port = home, tasks, raters, free_port()

    def what(self) -> dict:
        return {"site": self.name, "version": self.version, "served": self.served}

    def __enter__(self):
        self.serving = self.serve()
        self.serving.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.serving.__exit__(*error)


class FeedbackHub(Site):
    name, version, served = "FeedbackHub", "here", "uvicorn, PostgreSQL"

    def serve(self):
        from feedbackhub.accounts.services import token_create
        from feedbackhub.projects.services import project_create

        slug = self.home.name.lower()
        self.project = project_create(by=admin(), slug=slug, name=slug)
        tasks_make(self.project, tasks=self.tasks)
        self.tokens = [token_create(user=rater(self.project, f"r{n}")) for n in range(self.raters)]
        return feedbackhub(self.port)

    async def browser(self, number: int) -> Browser:
        return Browser(self.port, {"Authorization": f"Token {self.tokens[number]}"})

    async def first(self, browser: Browser) -> dict | None:
        answer = await browser.send("POST", f"/api/v1/projects/{self.project.slug}/tasks/next/")
        return answer.json() if answer.status == 200 else None

    async def judge(self, browser: Browser, task: dict) -> dict | None:
        answer = await browser.send("POST", f"/api/v1/tasks/{task['id']}/judgments/?next=1", vote(task))
        assert answer.status == 201, answer
        return answer.json()["next_task"]


class LabelStudio(Site):
    name, version = "Label Studio", "1.23.2"
    served = "gunicorn, 2 workers of 4 threads, PostgreSQL"

    def serve(self):
        import json
        import subprocess

        from django.db import connection

        binaries = venv(PEERS / "label-studio", f"label-studio=={self.version}", "gunicorn==27.0.1")
        database = f"label_studio_{self.tasks}_{self.raters}"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {database}")
        at = connection.settings_dict
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "DATABASE"))},
            "DJANGO_DB": "default",
            "POSTGRE_USER": at["USER"],
            "POSTGRE_NAME": database,
            "POSTGRE_HOST": at["HOST"],
            "POSTGRE_PORT": str(at["PORT"]),
            "POSTGRE_PASSWORD": "",
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.home),
            "DEBUG": "false",
            "LOG_LEVEL": "ERROR",
            "COLLECT_ANALYTICS": "0",
            "LATEST_VERSION_CHECK": "0",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "1",
        }
        made = self.home / "made.json"
        command = [binaries / "python", HERE / "label_studio_setup.py", str(self.tasks), str(self.raters), made]
        with (self.home / "log").open("w") as log:
            subprocess.run(command, env=environment, check=True, stdout=log, stderr=log)
        self.project, self.tokens = json.loads(made.read_text()).values()
        code = next((binaries.parent / "lib").glob("python3*")) / "site-packages" / "label_studio"
        server = [binaries / "gunicorn", "core.wsgi:application", "--chdir", code, "-b", f"127.0.0.1:{self.port}"]
        how = ["-w", "2", "--threads", "4", "--keep-alive", "75", "--log-level", "error"]
        environment["DJANGO_SETTINGS_MODULE"] = "core.settings.label_studio"
        log = (self.home / "server-log").open("w")
        options = {"env": environment, "stdout": log, "stderr": log}
        return running([*server, *how], ready=f"http://127.0.0.1:{self.port}/health", **options)

    async def browser(self, number: int) -> Browser:
        return Browser(self.port, {"Authorization": f"Token {self.tokens[number]}"})

    async def first(self, browser: Browser) -> dict | None:
        answer = await browser.send("GET", f"/api/projects/{self.project}/next")
        assert answer.status in (200, 404), answer
        return answer.json() if answer.status == 200 else None

    async def judge(self, browser: Browser, task: dict) -> dict | None:
        said = {"from_name": "better", "to_name": "question", "type": "choices", "value": {"choices": ["A"]}}
        body = {"result": [said], "lead_time": 0.9}
        answer = await browser.send("POST", f"/api/tasks/{task['id']}/annotations/?project={self.project}", body)
        assert answer.status == 201, answer
        return await self.first(browser)


class Potato(Site):
    name, version = "Potato", "2.12.1"
    served = "gunicorn, 1 worker of 8 threads, its files"

    def serve(self):
        import json

        binaries = venv(PEERS / "potato", f"potato-annotation=={self.version}", "gunicorn==27.0.1")
        rows = ({"id": f"t{n}", "text": f"Question {n}?\nA: {ANSWER}\nB: {ANSWER}"} for n in range(self.tasks))
        (self.home / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
        scheme = {"annotation_type": "radio", "name": "better", "description": "Which answer is better?"}
        config = {
            "annotation_task_name": "bench",
            "task_dir": str(self.home),
            "output_annotation_dir": str(self.home / "out"),
            "output_annotation_format": "jsonl",
            "data_files": [str(self.home / "tasks.jsonl")],
            "item_properties": {"id_key": "id", "text_key": "text"},
            "user_config": {"allow_all_users": True, "users": []},
            "require_password": False,
            "secret_key": "bench",
            "max_annotations_per_item": 1,
            "max_annotations_per_user": self.tasks // self.raters,
            "assignment_strategy": "fixed_order",
            "annotation_schemes": [{**scheme, "labels": ["A", "B", "tie", "both bad"]}],
        }
        (self.home / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        server = [binaries / "gunicorn", f"potato.flask_server:create_app('{self.home / 'config.yaml'}')"]
        how = ["-b", f"127.0.0.1:{self.port}", "-w", "1", "--threads", "8", "--keep-alive", "75"]
        log = (self.home / "log").open("w")
        options = {"cwd": self.home, "stdout": log, "stderr": log}
        return running([*server, *how, "--log-level", "error"], ready=f"http://127.0.0.1:{self.port}/", **options)

    async def browser(self, number: int) -> Browser:
        browser = Browser(self.port, {})
        answer = await browser.send("POST", "/auth", form={"email": f"r{number}", "pass": ""})
        assert answer.status in (200, 302), answer
        return browser

    async def first(self, browser: Browser) -> str | None:
        return _potato_task(await browser.send("GET", "/annotate"))

    async def judge(self, browser: Browser, task: str) -> str | None:
        body = {"instance_id": task, "annotations": {"better:A": "A"}, "span_annotations": []}
        answer = await browser.send("POST", "/updateinstance", body)
        assert answer.status == 200, answer
        assert answer.json()["status"] == "success", answer
        answer = await browser.send("POST", "/annotate", {"action": "next_instance", "instance_id": task})
        following = _potato_task(answer)
        return None if following == task else following


def _potato_task(answer) -> str | None:
    found = re.search(r'id="instance_id"[^>]*value="([^"]*)"', answer.text)
    return found.group(1) if found else None
