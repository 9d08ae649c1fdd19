"""Sample answers before and after a round in a real browser: side by side, and below one another on a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from looks import at_rest, fits
from rating_cast import chromium, page_of  # noqa: F401

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.rounds.models import PreferenceDataset, Round
from feedbackhub.runs.models import RunEvent

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
BEFORE = "A long answer that would need some room of its own beside another one, word after word after word.\n" * 3
TEXTS = {"before": BEFORE, "during": "halfway there, with a few more words than would fit", "after": "Tea, then."}


@pytest.fixture
def page(project, alice, run_of, page_of):  # noqa: F811
    """The page of a round of two sample prompts, one of which waits for its last answer."""
    base = ModelVersion.objects.create(project=project, name="tiny", kind="local", base="/nowhere")
    counts = {"rows": 3, "train": 3, "judgments": 3}
    dataset = PreferenceDataset.objects.create(
        project=project, kind="sft", counts=counts, content_hash="0" * 64, created_by=alice
    )
    run = run_of(steps=5)
    Round.objects.create(
        project=project, number=1, recipe="sft", base_model=base, dataset=dataset, run=run, created_by=alice
    )
    told = [(1, "before"), (1, "during"), (1, "after"), (2, "before"), (2, "during")]
    for offset, (sample, stage) in enumerate(told, 1):
        data = {"id": sample, "stage": stage, "step": 3, "prompt": "What is tea? " * 9, "text": TEXTS[stage]}
        RunEvent.objects.create(run=run, offset=offset, t=offset, type="sample", data=data)
    run.state = "stopped"
    run.save()
    page = page_of(alice)
    page.goto("/p/kitchen/rounds/1/")
    return page


def cells(page) -> list[dict]:
    """Where the cells of the first sample stand."""
    return [cell.bounding_box() for cell in page.locator('[data-sample="1"]').locator("th, td").all()]


def test_side_by_side_where_there_is_room_and_below_one_another_on_a_phone(page):
    region = page.get_by_role("group", name="Answers before and after")
    sideways = "region => region.scrollWidth > region.clientWidth"
    for width in (1440, 832):
        page.set_viewport_size({"width": width, "height": 900})
        prompt, before, after = cells(page)
        assert prompt["x"] < before["x"] < after["x"]
        assert not region.evaluate(sideways), f"it scrolls sideways at {width}"
    label = "getComputedStyle(document.querySelector('[data-stage=after]'), '::before').content"
    assert page.evaluate(label) == "none"
    for width, theme in ((831, "light"), (390, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=theme)
        at_rest(page)
        prompt, before, after = cells(page)
        assert prompt["y"] + prompt["height"] <= before["y"]
        assert before["y"] + before["height"] <= after["y"]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in (prompt, before, after))
        assert not region.evaluate(sideways), f"it scrolls sideways at {width}"
        assert '"After"' in page.evaluate(label)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        fits(page, width)
    assert page.errors == []


def test_stacked_it_is_still_a_table_to_a_screen_reader(page):
    """Its rows and headers are there, and a cell is called by its text, not by the label that is drawn above it."""
    page.set_viewport_size({"width": 390, "height": 844})
    table = page.get_by_role("group", name="Answers before and after").get_by_role("table")
    assert table.get_by_role("columnheader").all_inner_texts() == ["Prompt", "Before", "After"]
    row = table.get_by_role("row").nth(1)
    assert row.get_by_role("rowheader").count() == 1
    assert row.get_by_role("cell", name="Tea, then.", exact=True).count() == 1
    said = {element: table.locator(element).first.get_attribute("role") for element in ("thead", "tr", "th", "td")}
    assert said == {"thead": "rowgroup", "tr": "row", "th": "columnheader", "td": "cell"}, "some browsers need it said"
    waits = table.get_by_role("row").nth(2).get_by_role("cell").nth(1)
    assert waits.inner_text().split("\n")[0] == "so far, after step 3"
