"""Importing the largest real battle file (41,799 votes) through the imports room."""

import os
import time
from pathlib import Path

from django.db import connection

from .cast import admin

FILE = "battles_alpacaeval1_gpt4.jsonl.gz"


def run() -> list[dict]:
    from feedbackhub.imports.services import import_create, import_run
    from feedbackhub.projects.services import project_create

    path = Path(os.environ.get("FEEDBACKHUB_DATA", "../shared/data")) / FILE
    if not path.exists():
        raise SystemExit(f"{path} is not there: set FEEDBACKHUB_DATA to the folder with the real data")
    project = project_create(by=admin(), slug="imports", name="Imports")
    started = time.perf_counter()
    with path.open("rb") as file:
        report = import_create(project=project, by=project.created_by, kind="votes", file=file, filename=FILE)
    import_run(report.pk)
    seconds = time.perf_counter() - started
    report.refresh_from_db()
    assert report.status == "done", report.error
    return [
        {
            "database": connection.vendor,
            "votes": report.read,
            "seconds": seconds,
            "votes_a_second": report.read / seconds,
        }
    ]
