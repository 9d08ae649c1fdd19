"""A chat in a real browser: by keyboard alone, answers as they grow, stopped, judged, revealed; light, dark, phone."""

import os
import sys
import threading
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import connection
from looks import fits

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))
from live_site import Server, wait_for

from feedbackhub.chat.jobs import chat_run
from feedbackhub.chat.models import Chat, Turn
from feedbackhub.rating.models import Judgment

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(models, chromium, client_of, alice, settings, monkeypatch):
    """Alice's browser in front of a real server with pushes; what its console complains about fails the test."""
    settings.RUNS_DIR = Path(os.environ["FEEDBACKHUB_HOME"]) / "runs"  # the server's
    monkeypatch.setenv("CHAT_IDLE_SECONDS", "0")
    server = Server()
    wait_for(server.answers, seconds=180, what="the server")
    url = f"http://127.0.0.1:{server.port}"
    context = chromium.new_context(base_url=url, reduced_motion="reduce")
    context.add_cookies([{"name": "sessionid", "value": client_of(alice).cookies["sessionid"].value, "url": url}])
    complaints = []
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.set_default_timeout(60_000)
    page = context.new_page()
    yield page
    context.close()
    server.kill()
    assert complaints == []


@pytest.fixture
def worker(page):
    """worker(): the chat's run is supervised in a thread, while the browser looks on; joined at the end."""
    threads = []

    def work():
        def supervise(run_id):
            try:
                chat_run(run_id)
            finally:
                connection.close()

        threads.append(threading.Thread(target=supervise, args=(Chat.objects.get().run_id,)))
        threads[-1].start()
        return threads[-1]

    yield work
    for thread in threads:
        thread.join(60)


def test_a_chat_by_keyboard(page, models, worker, alice):
    parent, child = models
    page.goto(f"/p/kitchen/chats/?a={child.pk}&b={parent.pk}")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("Nothing has been said yet.").wait_for()
    page.locator("#chat-live[data-state=open]").wait_for()
    page.keyboard.press("m")
    page.keyboard.type("<script>alert(1)</script> [wait]")
    page.keyboard.press("Enter")
    page.get_by_text("Waiting for a free worker").wait_for()
    assert page.locator("#id_message").input_value() == ""
    first = worker()
    page.get_by_text("So far").nth(1).wait_for()
    page.keyboard.press("Tab")  # out of the box, so that a key is a key again
    page.keyboard.press("s")
    page.get_by_text("cut short").wait_for()
    first.join(60)
    assert page.locator("script:text('alert')").count() == 0
    page.locator("#chat-live[data-state=open]").wait_for()
    page.keyboard.press("m")
    page.keyboard.type("tea?")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("or coffee")
    page.keyboard.press("Enter")
    page.get_by_text("Waiting for a free worker").wait_for()
    worker()
    page.locator("#left-2").wait_for()
    assert page.locator("#turns").inner_text().count("child") == 0
    page.locator("body").evaluate("document.activeElement.blur()")
    page.keyboard.press("b")
    page.locator("#right-2[aria-pressed=true]").wait_for()
    assert Turn.objects.get(number=2).prefer == "right"
    assert Judgment.objects.get().rater == alice
    page.keyboard.press("t")
    page.locator("#tie-2[aria-pressed=true]").wait_for()
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 390, "height": 844})
    fits(page, 390)
    page.keyboard.press("r")
    page.get_by_text("All votes on these two").wait_for()
    assert {"child", "parent"} <= set(page.locator(".answer-head h3").all_inner_texts())
