"""The pages of reward models in a real browser: charts with their tables, nothing the axe objects to, a phone."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from looks import at_rest, fits

from feedbackhub.rewards import services

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def looked_at(page, name: str) -> None:
    at_rest(page)
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    assert found.violations_count == 0, found.generate_report()
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_what_a_reward_model_says_and_what_people_say(
    project, alice, bob, writer, reward_model, tasks, scored, prefer, queue, page_of
):
    tasks(6)
    for name in ("red", "red", "blue", "red", "red"):
        prefer(bob, name)
    scored({"red": 1.0, "blue": 0.0})
    made = services.best_of_create(
        project=project, model=writer, reward_model=reward_model, n=3, split="test", pairs=True, by=alice
    )
    queue()
    services.sweep()
    page = page_of(alice, color_scheme="dark")
    page.goto(f"/p/kitchen/reward-models/best-of/{made.pk}/")
    page.get_by_text("Answers are scored").wait_for()
    queue()
    page.get_by_text("Gain over one answer").wait_for()  # the page has asked again by itself
    page.locator("[data-chart=whiskers] canvas, [data-chart=whiskers] svg").first.wait_for()
    page.locator("#standing summary").filter(has_text="Show it").first.click()
    looked_at(page, "best-of")
    page.goto(f"/p/kitchen/reward-models/{reward_model.pk}/")
    page.get_by_text("80 %").first.wait_for()
    looked_at(page, "agreement")
    page.set_viewport_size({"width": 390, "height": 844})
    fits(page, 390)
    page.goto(f"/p/kitchen/reward-models/best-of/{made.pk}/")
    fits(page, 390)
    page.goto("/p/kitchen/reward-models/")
    looked_at(page, "list")
    fits(page, 390)
    assert page.errors == []
