"""docs/operating.md, the Makefile and docker/ tell the truth."""

import re
import subprocess

import pytest
import yaml
from django.core.management import get_commands
from supervised import ROOT

OPERATING = (ROOT / "docs" / "operating.md").read_text()
READ = re.compile(r"""(?:\benv(?:\.\w+)?\(|environ\.get\(|environ\[)\s*["']([A-Z][A-Z_]+)["']""")
# Set for others, not for an operator to give.
INTERNAL = {"DJANGO_SETTINGS_MODULE", "HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS"}


def _read_in(*patterns: str) -> set[str]:
    files = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return {name for path in files for name in READ.findall(path.read_text())} - INTERNAL


def test_every_variable_that_is_read_is_told():
    read = _read_in("feedbackhub/**/*.py", "training/**/*.py")
    assert {"FEEDBACKHUB_HOME", "PORT", "RUN_LEASE_SECONDS", "FEEDBACKHUB_HOST"} <= read
    assert [name for name in sorted(read) if f"`{name}`" not in OPERATING] == []


@pytest.mark.parametrize("target", ["run", "test", "system", "test-data", "test-slow", "test-gpu", "bench", "lint"])
def test_make_knows_the_target(target):
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_tests_of_real_data_say_why_they_cannot_run(tmp_path):
    environment = {"FEEDBACKHUB_DATA": str(tmp_path / "nowhere"), "PATH": "/usr/bin:/bin"}
    command = ["bin/test-needing", "data"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"there is none at {tmp_path}/nowhere" in done.stderr


class TestCompose:
    services = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text())["services"]

    def test_its_services(self):
        assert set(self.services) == {"web", "worker", "gpu-worker", "sweeper", "postgres", "valkey"}
        assert "--appendonly" in self.services["valkey"]["command"]

    def test_commands_are_ours(self):
        for name in ("worker", "gpu-worker", "sweeper"):
            command = self.services[name]["command"]
            assert (command.split() if isinstance(command, str) else command)[0] in get_commands()

    def test_variables_are_told(self):
        for name in ("web", "worker", "gpu-worker", "sweeper"):
            told = [variable for variable in self.services[name]["environment"] if f"`{variable}`" in OPERATING]
            assert told == list(self.services[name]["environment"])

    def test_workers_have_the_time_that_training_needs(self, settings):
        for name in ("worker", "gpu-worker"):
            assert int(self.services[name]["stop_grace_period"].rstrip("s")) > settings.RUN_STOP_GRACE_SECONDS + 10

    def test_what_the_image_copies_is_there_and_not_ignored(self):
        dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
        sources = [word for line in re.findall(r"^COPY (.+)$", dockerfile, re.M) for word in line.split()[:-1]]
        let_through = re.findall(r"^!(.+)$", (ROOT / "docker" / "Dockerfile.dockerignore").read_text(), re.M)
        assert sorted(sources) == sorted(let_through)
        assert [source for source in sources if not (ROOT / source).exists()] == []
