"""A suite is written, measured and followed up in a real browser; axe on its pages, light and dark, wide and narrow."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from looks import at_rest, fits

from feedbackhub.evaluation.models import DataRequest, Evaluation
from feedbackhub.evaluation.services import evaluation_create

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture
def page(live_server, client_of, alice, project, settings, stand_in):
    """Alice's browser; `errors` holds what its console said."""
    from playwright.sync_api import sync_playwright

    settings.ALLOWED_HOSTS = ["*"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        context = chromium.new_context(base_url=live_server.url, reduced_motion="reduce")
        session = client_of(alice).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.set_default_timeout(60_000)
        yield page
        chromium.close()


def accessible(page) -> None:
    for theme, width in (("light", 390), ("dark", 1440)):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": 900})
        at_rest(page)
        result = Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        fits(page, width)


def test_from_a_suite_to_a_data_request(page, project, parent, adapted, queue):
    page.goto("/p/kitchen/evaluations/suites/new/")
    page.get_by_label("Name", exact=True).fill("pets")
    page.get_by_label("Definition").fill("rules:\n  - {kind: not_contains, texts: [dog], name: no dogs}")
    page.get_by_label("Items", exact=False).first.fill(
        '{"prompt": "a dog <i>barks</i>", "tags": ["pets"]}\n{"prompt": "salt"}'
    )
    accessible(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="pets v1").wait_for()
    accessible(page)
    page.get_by_role("link", name="Measure models").click()
    page.get_by_role("heading", name="Measure models").wait_for()
    assert page.get_by_label("Suite").input_value() == "pets", "the suite that one came from is chosen"
    evaluation_create(project=project, models=[adapted, parent], suite="pets")
    queue()
    evaluation = Evaluation.objects.get()
    page.goto(f"/p/kitchen/evaluations/{evaluation.pk}/")
    page.get_by_text("1 fixed, 0 new since tiny").wait_for()
    accessible(page)
    page.get_by_role("region", name="What tiny fails", exact=True).get_by_role("link", name="1").first.click()
    page.get_by_text("has “dog”").wait_for()
    accessible(page)
    page.get_by_label("Note").fill("More pets, please.")
    page.get_by_role("button", name="Request data").click()
    page.get_by_text("More pets, please.").wait_for()
    accessible(page)
    assert DataRequest.objects.get().prompts == [{"key": "1", "text": "a dog <i>barks</i>"}]
    assert page.errors == []
