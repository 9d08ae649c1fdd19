"""The adjudication queue by keys alone; axe on it and on the quality page, light and dark, wide and narrow."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from looks import at_rest, fits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture
def page(live_server, client_of, alice, project, settings, valkey):
    """Alice's browser."""
    from playwright.sync_api import sync_playwright

    settings.ALLOWED_HOSTS = ["*"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        context = chromium.new_context(base_url=live_server.url, reduced_motion="reduce")
        session = client_of(alice).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        context.set_default_timeout(60_000)
        yield context.new_page()
        chromium.close()


def accessible(page) -> None:
    for theme, width in (("light", 390), ("dark", 1440)):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        at_rest(page)
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        fits(page, width)


def test_settling_by_keys(tasks, judged, page, project, alice, bob, carol):
    from feedbackhub.rating.adjudication import dispute, settlements, verdict_of
    from feedbackhub.rating.decisions import rater_decide

    first, second = tasks(2, judgments_wanted=2)
    for _ in range(2):
        judged(bob, "red", "blue", comment="Red **is** it.", flags=["unsafe"])
        judged(carol, "blue", "red", strength="slight")
    rater_decide(project=project, rater=bob, action="weigh", weight=0.5, by=alice, reason="A test.")
    page.goto(f"/p/{project.slug}/rate/quality/")
    accessible(page)
    page.keyboard.press("a")
    task = page.locator(".rate-task")
    page.locator(f'[data-task="{first.pk}"]').wait_for()
    accessible(page)
    page.keyboard.press("s")
    page.locator(f'[data-task="{second.pk}"]').wait_for()
    page.keyboard.press("c")
    page.keyboard.type("a better answer than b")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.locator(f'[data-task="{first.pk}"]').wait_for()
    settled = settlements(project).get()
    assert (settled.task, settled.comment) == (second, "a better answer than b")
    assert verdict_of(settled).tiers[dispute(second).outputs[0].pk] == 0
    page.keyboard.press("n")
    page.get_by_text("Nothing is left to settle.").wait_for()
    assert settlements(project).get(task=first).none_acceptable
    page.keyboard.press("u")
    task.and_(page.locator(f'[data-task="{first.pk}"]')).wait_for()
    assert settlements(project).get() == settled
