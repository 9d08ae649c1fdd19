"""The cast and the real parts: a home of its own, a real Valkey, SQLite or a real PostgreSQL.

TEST_DATABASE=postgresql runs the same tests on a PostgreSQL cluster made for the run (tests/postgres.py).
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ports import free_port  # noqa: E402

pytest_plugins = ["stand_in", "pictures"]
HOME = Path(tempfile.mkdtemp(prefix="feedbackhub-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)


def _environment() -> None:
    """Set before Django reads its settings: nothing of the machine's own environment may reach a test."""
    for name in ("LANGSMITH_API_KEY", "LANGSMITH_ENDPOINT", "LANGSMITH_TRACING", "DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    os.environ["FEEDBACKHUB_HOME"] = str(HOME)
    os.environ["VALKEY_PORT"] = str(free_port())
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{os.environ['VALKEY_PORT']}/0"
    os.environ["DJANGO_SETTINGS_MODULE"] = "feedbackhub.settings"
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    os.environ["LOG_LEVEL"] = "WARNING"
    if os.environ.get("TEST_DATABASE") == "postgresql":
        import postgres

        os.environ["DATABASE_URL"] = postgres.start(HOME / "postgres", free_port())


_environment()
import django  # noqa: E402
from django.conf import settings  # noqa: E402
from playwright.sync_api import expect  # noqa: E402

django.setup()
# The real hasher takes a third of a second, for every member of the cast in every test.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A page may be slow where both cores train: what it shows in the end is what counts.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def valkey():
    """A real Valkey for the session."""
    from feedbackhub.core.valkey import valkey_command, valkey_wait

    process = subprocess.Popen(valkey_command(port=int(os.environ["VALKEY_PORT"]), directory=HOME / "valkey"))
    valkey_wait(os.environ["REDIS_URL"], process=process)
    yield os.environ["REDIS_URL"]
    process.terminate()
    process.wait(60)


@pytest.fixture
def queue(valkey):
    """The real queue, empty at first. `queue()` works off what waits (and what that enqueues), in this process."""
    import django_rq
    import redis
    from rq import SimpleWorker
    from rq.serializers import JSONSerializer

    redis.Redis.from_url(valkey).flushall()

    def work() -> None:
        names = ["default", "training", "chat"]
        worker = SimpleWorker(
            [django_rq.get_queue(name) for name in names],
            connection=django_rq.get_connection("default"),
            serializer=JSONSerializer,
        )
        worker.work(burst=True, logging_level="WARNING")
        failed = [job for name in names for job in django_rq.get_queue(name).failed_job_registry.get_job_ids()]
        assert not failed, f"jobs failed: {failed}"

    return work


@pytest.fixture
def data_dir() -> Path:
    """The folder of real data; a test that needs it fails clearly without."""
    folder = Path(os.environ.get("FEEDBACKHUB_DATA", Path(__file__).parents[2] / "shared" / "data"))
    assert folder.is_dir(), f"no data at {folder}: set FEEDBACKHUB_DATA to the folder with the real data"
    return folder


# --- The cast ------------------------------------------------------------------------------------------------


@pytest.fixture
def root(db):
    """The superuser."""
    from feedbackhub.accounts.models import User

    return User.objects.create_superuser("root", "root@example.com", "root-password-1")


def _member(project, username, role):
    from feedbackhub.accounts.models import User
    from feedbackhub.projects.models import Membership

    user, _ = User.objects.get_or_create(username=username)
    user.set_password(f"{username}-password-1")
    user.save()
    Membership.objects.get_or_create(project=project, user=user, role=role)
    return user


@pytest.fixture
def project(root):
    from feedbackhub.projects.services import project_create

    return project_create(by=root, slug="kitchen", name="Kitchen", guidelines="Prefer the *truer* answer.")


@pytest.fixture
def alice(project):
    """Admin of the project."""
    return _member(project, "alice", "admin")


@pytest.fixture
def bob(project):
    """Rater."""
    return _member(project, "bob", "rater")


@pytest.fixture
def carol(project):
    """Rater as well."""
    return _member(project, "carol", "rater")


@pytest.fixture
def dave(project):
    """Stakeholder."""
    return _member(project, "dave", "stakeholder")


@pytest.fixture
def eve(db):
    """Somebody with no role in the project."""
    from feedbackhub.accounts.models import User

    return User.objects.create_user("eve", password="eve-password-1")


@pytest.fixture
def client_of(client):
    """client_of(user): a browser that is signed in as `user`."""
    from django.test import Client

    def sign_in(user):
        browser = Client()
        browser.force_login(user)
        return browser

    return sign_in


@pytest.fixture
def api_of():
    """api_of(user): a DRF client with the user's token."""
    from rest_framework.test import APIClient

    from feedbackhub.accounts.services import token_create

    def sign_in(user):
        api = APIClient()
        api.credentials(HTTP_AUTHORIZATION=f"Token {token_create(user=user)}")
        return api

    return sign_in
