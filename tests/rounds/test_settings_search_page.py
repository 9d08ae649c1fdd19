"""The search for settings in a real browser: by keyboard, followed while it runs, and without a finding of axe."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from looks import at_rest, fits
from playwright.sync_api import expect
from rating_cast import chromium, page_of  # noqa: F401

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.rounds import searches, services
from feedbackhub.rounds.datasets import dataset_freeze

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("queue")]


@pytest.fixture
def tuning_round(project, alice, weights, stand_in, pair, judge):
    for number in range(6):
        one, other = pair(f"question {number}", split="validation" if number < 3 else "train")
        judge([[one], [other]])
    base = ModelVersion.objects.create(project=project, name="tiny", kind="local", base=str(weights))
    dataset = dataset_freeze(project=project, by=alice)
    return services.round_create(project=project, by=alice, recipe="dpo", base_model=base, dataset=dataset)


def end(search, accuracy):
    """The run that the search waits for comes to its end, and the search goes on."""
    search.refresh_from_db()
    search.run.state = "failed" if accuracy is None else "completed"
    search.run.error_message = "" if accuracy else "the loss is no number any more"
    search.run.result, search.run.finished_at = {"metrics": {"validation_accuracy": accuracy}}, timezone.now()
    search.run.save()
    searches.sweep()


def test_begun_by_keyboard_followed_and_clean(tuning_round, page_of, alice, project):  # noqa: F811
    page = page_of(alice)
    found = []

    def check(where):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            at_rest(page)
            results = Axe().run(page).response["violations"]
            found.extend((where, scheme, one["id"], one["nodes"][0]["html"][:120]) for one in results)

    page.goto(f"/p/{project.slug}/rounds/{tuning_round.number}/")
    check("before")
    page.get_by_label("Steps of each run").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#search [role=status]")).to_contain_text("Run 1 of 7 at most")
    search = tuning_round.searches.get()
    check("under way")
    page.locator("#search-stop").focus()
    end(search, 0.5)
    expect(page.locator("#search [role=status]")).to_contain_text("Run 2 of 7 at most")
    expect(page.locator("#search-stop")).to_be_focused()
    end(search, None)
    for _ in range(5):
        end(search, 0.9)
    expect(page.locator("#search [role=status]")).to_contain_text("Picked:")
    expect(page.get_by_role("row", name="picked")).to_have_count(1)
    check("picked")
    page.set_viewport_size({"width": 360, "height": 740})
    fits(page, 360)
    page.get_by_role("button", name="Draft a round with these settings").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Round 2")
    assert found == []
    assert page.errors == []
