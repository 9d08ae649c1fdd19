import os
import subprocess
import sys

import pytest
from django.conf import settings as django_settings
from django.db import connection


@pytest.fixture
def run_of(stand_in, project):
    """run_of(steps=…, …): a draft run whose stand-in does what the settings say."""
    from feedbackhub.runs.services import run_create

    def create(**settings):
        return run_create(
            project=project,
            recipe="sft",
            spec={"data": {"train": "data/train.jsonl"}, "settings": settings, "seed": 0},
            files={"data/train.jsonl": ({"n": n} for n in range(3))},
            queue="training",
            job="stand_in_job.supervise",
        )

    return create


@pytest.fixture
def database_url(db) -> str:
    """The test database, for another process."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    return f"postgres://{found['USER']}@{found['HOST']}:{found['PORT']}/{found['NAME']}"


@pytest.fixture
def supervisor_process(stand_in, valkey, database_url):
    """supervisor_process(run): a supervisor of the run in a process of its own, on the same database and home."""
    started = []
    code = """
import sys, django
django.setup()
from django.conf import settings
from pathlib import Path
settings.RUNS_DIR = Path(sys.argv[2])
from feedbackhub.runs.services import run_supervise
run_supervise(run_id=int(sys.argv[1]))
"""

    def start(run) -> subprocess.Popen:
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "TRAINING_PYTHON": stand_in.TRAINING_PYTHON,
            "RUN_LEASE_SECONDS": str(stand_in.RUN_LEASE_SECONDS),
        }
        command = [sys.executable, "-c", code, str(run.pk), str(stand_in.RUNS_DIR)]
        process = subprocess.Popen(command, env=environment, cwd=django_settings.BASE_DIR)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
