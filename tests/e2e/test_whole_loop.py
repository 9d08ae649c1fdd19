"""The whole loop in a real browser, as an admin of the demo walks it: rate, freeze, tune, watch, see who won."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from live_site import wait_for
from looks import PAINTED, fits
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(3000)]
PAIRS = 10
MORE = 5  # the first three may be pairs that the rater held before the round; then those of child and parent come first


@pytest.fixture
def complaints():
    return []


@pytest.fixture
def page(site, browser, complaints):
    """A tab in which the demo's admin has signed in. What its console complains of fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(f"{site.url}/sign-in/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("feedbackhub-demo-admin")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}/")
    yield page
    context.close()
    assert complaints == []


def accessible(page: Page) -> None:
    """No axe violation, light and dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(PAINTED)  # colours are computed anew with the next frame
        found = Axe().run(page)
        assert found.violations_count == 0, f"{page.url} in {scheme}:\n{found.generate_report()}"
    page.emulate_media(color_scheme="light")


def rate_by_keyboard(page: Page, count: int, keys: str = "ab") -> None:
    """Judge `count` pairs with nothing but keys, each when the one before has given way to it."""
    for number in range(count):
        task = page.locator("[data-task]")
        shown = task.get_attribute("data-task")
        page.keyboard.press(keys[number % len(keys)])
        expect(page.locator(f'[data-task="{shown}"]')).to_have_count(0)


def votes(site) -> int:
    return site.call("GET", "projects/demo/leaderboard/")[1]["votes"]


def test_the_loop_closes(site, page):
    # Ten pairs, by keyboard alone.
    page.goto(f"{site.url}/p/demo/rate/")
    accessible(page)
    text = page.locator("main").inner_text()
    assert not re.search("smol-(greedy|creative|concise)", text), "a model is named before the vote"
    rate_by_keyboard(page, PAIRS)
    wait_for(lambda: votes(site) == PAIRS, seconds=180, what=f"{PAIRS} votes on the leaderboard")

    # Freeze them.
    page.goto(f"{site.url}/p/demo/rounds/datasets/")
    accessible(page)
    page.get_by_role("button", name="Freeze").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Dataset")
    accessible(page)

    # Launch a short round on them.
    page.get_by_role("link", name="Tune on it").click()
    accessible(page)
    page.get_by_label("max steps").fill("2")
    page.get_by_label("batch size").fill("2")
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Round 1")

    # Watch it end, live: this page is not loaded again by us.
    expect(page.locator("#run")).to_have_attribute("data-state", "completed", timeout=900_000)
    expect(page.locator("figure.chart").first).to_be_visible()
    expect(page.get_by_text("After the round")).to_be_visible()
    # What one writes there stays while the section asks for itself anew.
    page.get_by_text("Promote it to champion").click()
    page.get_by_label("Why").fill("Half a rea")
    page.evaluate("document.getElementById('after').dataset.earlier = ''")
    page.locator("#after:not([data-earlier])").wait_for()
    page.get_by_label("Why").press_sequentially("son")
    expect(page.get_by_label("Why")).to_have_value("Half a reason")

    # By itself: answers, metrics, blind pairs.
    def followed() -> bool:
        page.reload()
        return page.get_by_text("blind pairs wait for raters").count() == 1

    wait_for(followed, seconds=1200, what="the blind pairs of child and parent")
    expect(page.get_by_text("ROUGE-L").first).to_be_visible()
    accessible(page)

    # An open leaderboard moves as the pairs are judged.
    board = page.context.new_page()
    board.goto(f"{site.url}/p/demo/leaderboard/")
    expect(board.locator("[data-board-votes]")).to_contain_text(f"{PAIRS} votes")
    expect(board.locator("#board-live")).to_have_attribute("data-state", "open")
    page.goto(f"{site.url}/p/demo/rate/")
    rate_by_keyboard(page, MORE)
    expect(board.locator("[data-board-votes]")).to_contain_text(f"{PAIRS + MORE} votes")
    child = site.call("GET", "projects/demo/rounds/")[1]["results"][0]["model"]
    expect(board.get_by_role("link", name=child)).to_be_visible()
    accessible(board)

    # And back from the row to the votes.
    board.get_by_role("link", name=child).click()
    board.get_by_role("link", name=re.compile("dataset #")).click()
    board.get_by_role("rowheader").get_by_role("link").first.click()
    expect(board.get_by_text("The votes behind it")).to_be_visible()
    accessible(board)


PAGES = [
    "",
    "me/",
    "rate/quality/",
    "catalog/prompts/",
    "catalog/models/",
    "imports/",
    "rate/history/",
    "rate/tasks/",
    "rate/tasks/1/",
    "rate/live/",
    "rate/checks/",
    "rate/interventions/",
    "settings/",
    "rounds/",
    "rounds/autopilot/",
]
PAGES += ["rounds/new/", "evaluations/", "leaderboard/", "leaderboard/ab/", "langsmith/"]


def test_every_page_is_accessible_and_within_its_policy(site, page):
    page.goto(site.url)
    accessible(page)
    for path in PAGES:
        answer = page.goto(f"{site.url}/p/demo/{path}")
        assert answer.status == 200, path
        accessible(page)
        page.set_viewport_size({"width": 390, "height": 844})
        fits(page, 390)
        page.set_viewport_size({"width": 1440, "height": 900})
