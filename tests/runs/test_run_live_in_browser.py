"""A round's page in a real browser while its run goes on: followed by socket, and without one."""

import os
import subprocess
import sys
import urllib.request

import pytest
from django.conf import settings as django_settings
from ports import free_port
from waiting import wait_until

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.rounds.models import PreferenceDataset, Round
from feedbackhub.runs.services import run_queue, run_stop

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def site_url(database_url, stand_in, valkey):
    """uvicorn on the test's own database, queue and run directories: sockets need a real one."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "FEEDBACKHUB_HOME": str(stand_in.RUNS_DIR.parent),
        "SECRET_KEY": django_settings.SECRET_KEY,
    }
    command = [sys.executable, "-m", "uvicorn", "feedbackhub.asgi:application", "--port", str(port)]
    server = subprocess.Popen([*command, "--log-level", "warning"], env=environment, cwd=django_settings.BASE_DIR)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"{url}/healthz", timeout=5).status == 200
        except OSError:
            return False

    wait_until(answers, seconds=180, what="for the web server")
    yield url
    server.terminate()
    server.wait(60)


@pytest.fixture
def round_of(project, alice, run_of):
    """round_of(steps=…, …): a launched round whose training is a stand-in."""

    def create(**settings) -> Round:
        base = ModelVersion.objects.create(project=project, name="tiny", kind="local", base="/nowhere")
        counts = {"rows": 3, "train": 3, "judgments": 3}
        dataset = PreferenceDataset.objects.create(
            project=project, kind="sft", counts=counts, content_hash="0" * 64, created_by=alice
        )
        made = Round.objects.create(
            project=project,
            number=1,
            recipe="sft",
            base_model=base,
            dataset=dataset,
            run=run_of(**settings),
            created_by=alice,
        )
        run_queue(run=made.run)
        return made

    return create


@pytest.fixture
def page_of(chromium, client_of, alice, site_url, project):
    """page_of(round): its page in a browser in which alice is signed in; `page.errors` holds what the console said."""
    contexts = []

    def open_page(tuning_round, prepare=lambda page: None):
        context = chromium.new_context(base_url=site_url)
        contexts.append(context)
        session = client_of(alice).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": site_url}])
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
        prepare(page)
        page.goto(f"/p/{project.slug}/rounds/{tuning_round.number}/")
        page.evaluate("window.openedOnce = true")
        return page

    yield open_page
    for context in contexts:
        context.close()


CURVE = """async () => {
  const { chartOf } = await import("/static/js/chart.js");
  const figure = document.querySelector('[data-chart-source="curve-loss"]');
  return figure ? chartOf(figure).data.series.find(({ name }) => name === "train").points : [];
}"""


def test_the_page_follows_the_run_without_being_loaded_again(round_of, page_of, supervisor_process):
    tuning_round = round_of(steps=25, seconds=0.2, samples=True)
    page = page_of(tuning_round)
    page.locator('#run[data-state="queued"]').wait_for()
    page.locator(".live").get_by_text("Live", exact=True).wait_for()
    supervisor_process(tuning_round.run)
    page.locator('#run[data-state="running"]').wait_for(timeout=60_000)
    page.wait_for_function("() => /step \\d+ of 25/.test(document.querySelector('[data-run=step]').textContent)")
    page.locator('[data-sample="7"] [data-stage="before"]', has_text="<b>before</b>").wait_for()
    page.locator('#run[data-state="completed"]').wait_for(timeout=60_000)
    assert page.locator('[data-run="progress"]').get_attribute("value") == "1.0"
    assert page.locator('[data-sample="7"] [data-stage="after"]').inner_text() == "<b>after</b>"
    points = page.evaluate(CURVE)
    assert [step for step, _ in points] == list(range(1, 26))
    assert points[3][1] == 0.25
    assert page.evaluate("window.openedOnce") is True
    assert page.errors == []


def test_points_are_drawn_as_they_are_pushed(round_of, page_of, supervisor_process):
    tuning_round = round_of(steps=600, seconds=0.1)
    page = page_of(tuning_round)
    page.locator(".live").get_by_text("Live", exact=True).wait_for()
    supervisor_process(tuning_round.run)
    page.locator('[data-chart-source="curve-loss"]').wait_for(timeout=60_000)
    renderings = []
    page.on("request", lambda request: renderings.append(request.url) if "/rounds/1/" in request.url else None)
    before = len(page.evaluate(CURVE))
    page.wait_for_function(f"async () => (await ({CURVE})()).length > {before + 10}")
    assert renderings == [], "a push is enough; the page is not asked for again"
    page.locator('[data-run="log-details"] summary').click()
    page.wait_for_function("() => /step +\\d+  train +loss/.test(document.querySelector('[data-run=log]').textContent)")
    run_stop(run=tuning_round.run)
    page.locator('#run[data-state="stopped"]').wait_for(timeout=60_000)
    page.get_by_role("button", name="Resume").wait_for()
    assert page.errors == []


def test_without_a_socket_the_page_asks_again(round_of, page_of, supervisor_process):
    tuning_round = round_of(steps=5, seconds=0.2)
    page = page_of(tuning_round, lambda page: page.route_web_socket("**/ws/**", lambda socket: socket.close()))
    supervisor_process(tuning_round.run)
    page.locator('#run[data-state="completed"]').wait_for(timeout=60_000)
    assert [step for step, _ in page.evaluate(CURVE)] == [1, 2, 3, 4, 5]
    assert page.evaluate("window.openedOnce") is True
