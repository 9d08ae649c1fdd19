"""manage.py up brings everything up, says so, and starts again what dies."""

import socket
from functools import partial

from supervised import Up, alive, wait_until

A_JOB = """
import time, django_rq
queue = django_rq.get_queue("default", commit_mode="auto")
job = queue.enqueue("time.sleep", args=(0,), result_ttl=60)
until = time.monotonic() + 120
while not job.is_finished and time.monotonic() < until:
    time.sleep(0.05)
print(job.get_status())
"""

REGISTERED = """
import django_rq
from rq import Worker
print(*[worker.pid for worker in Worker.all(connection=django_rq.get_connection())])
"""


def test_the_first_start_makes_everything(lived_in):
    said = (lived_in / "up.log").read_text()
    assert "FeedbackHub is ready at http://127.0.0.1:" in said
    for username in ("admin", "rater", "stakeholder"):
        assert f"feedbackhub-demo-{username}" in said
    assert "Traceback" not in said


def test_a_later_start_keeps_the_data_and_migrates_nothing(up):
    site = up()
    change = "from feedbackhub.projects.models import Project; Project.objects.update(name='Mine now')"
    site.python(change)
    site.ready()
    assert site.healthy()
    assert set(site.children()) == {"valkey", "web", "worker-1", "worker-2", "training", "chat", "sweeper"}
    said = site.said()
    assert "loading the demo project" not in said
    assert "database" not in said
    read = "from feedbackhub.projects.models import Project; print(Project.objects.get().name)"
    assert site.python(read).strip() == "Mine now"


def test_the_admin_token_is_the_demo_admins(up):
    site = up(FEEDBACKHUB_ADMIN_TOKEN="a-token-for-scripts").ready()
    status, answer = site.call("/api/v1/projects/", "a-token-for-scripts")
    assert status == 200
    assert [project["slug"] for project in answer["results"]] == ["demo"]
    assert site.call("/api/v1/projects/", "another-token")[0] in (401, 403)


def test_what_is_killed_is_started_again(up):
    site = up(WEB_PROCESSES="2").ready()  # two, which outlive the one that started them and would hold the port
    for name in ("web", "worker-1", "valkey", "sweeper"):
        # A worker that is only just starting gives up when the queue goes away; first let them all settle.
        wait_until(partial(_workers_settled, site), what="every worker to be at its queue")
        before = site.children()
        before[name].kill()
        wait_until(partial(_started_again, site, name, before[name].pid), what=f"{name} to be started again")
        wait_until(site.healthy, what=f"the site to be healthy again after {name} was killed")
        assert "FINISHED" in site.python(A_JOB).upper(), f"no job was done after {name} was killed"
        others = [process for other, process in before.items() if other != name]
        assert all(map(alive, others)), f"{name} took others with it"


def _workers_settled(site: Up) -> bool:
    workers = {
        child.pid for name, child in site.children().items() if name in ("worker-1", "worker-2", "training", "chat")
    }
    return len(workers) == 4 and workers <= set(map(int, site.python(REGISTERED).split()))


def _started_again(site: Up, name: str, old: int) -> bool:
    now = site.children().get(name)
    return now is not None and now.pid != old


def test_a_taken_port_is_named(up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = up(PORT=str(port)).start().ended()
    assert code == 1
    assert f"Port {port} on 127.0.0.1 is taken" in said
    assert f"PORT={port + 1}" in said


def test_a_taken_valkey_port_is_no_reason_to_stop(up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        site = up(VALKEY_PORT=str(other.getsockname()[1])).ready()
        assert site.healthy()
        # Other commands find the port that was taken instead.
        assert site.python("import django_rq; print(django_rq.get_connection().ping())").strip() == "True"


def test_a_second_one_on_the_same_home_is_refused(up):
    first = up().ready()
    second = Up(first.home)
    second.log = first.home / "second.log"
    code, said = second.start().ended()
    assert code == 1
    assert f"running already on {first.home} (process {first.process.pid}, {first.url}/)" in said
    assert first.healthy()


def test_a_queue_that_does_not_answer_is_named(up):
    code, said = up(REDIS_URL="redis://127.0.0.1:1/0").start().ended()
    assert code == 1
    assert "The server that REDIS_URL names does not answer" in said
