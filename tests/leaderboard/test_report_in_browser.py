"""An A/B report in a real browser: what differs is marked, a chart has its twins, it prints, and axe finds nothing."""

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from rating_cast import chromium, page_of  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_report_is_read_taken_along_and_printed(models, answered, said, measured, page_of, alice):  # noqa: F811
    one = answered("What is tea?", ("Tea is a **hot** drink.", "Tea is a cold drink."))
    for _ in range(3):
        said(one, "a", category="tea")
    measured({"child": [60.0] * 25, "parent": [40.0] * 25})
    page = page_of(alice, "../leaderboard/ab/")
    page.get_by_text("What is tea?").first.click()
    page.wait_for_function("CSS.highlights.get('difference')?.size === 2")
    marked = page.evaluate("[...CSS.highlights.get('difference')].map((range) => range.startContainer.textContent)")
    assert [text.strip() for text in marked] == ["hot", "Tea is a cold drink."]

    figure = page.locator("figure", has_text="Metrics of both")
    figure.get_by_role("button", name="Table").click()
    assert figure.get_by_role("row").nth(1).inner_text().split() == ["BLEU", "child", "22", "22", "22", "25"]
    with page.expect_download() as download:
        figure.get_by_role("button", name="JSON").click()
    taken = json.loads(download.value.path().read_text())
    assert taken["groups"] == ["BLEU", "ROUGE-1"]
    figure.get_by_role("button", name="Table").click()
    figure.locator("canvas").first.wait_for()

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert found == [], [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]

    printed = page.evaluate("""() => {
        const asked = [];
        window.print = () => asked.push([...document.querySelectorAll("canvas")].map((canvas) => canvas.style.width));
        document.querySelector("[data-print]").click();
        window.dispatchEvent(new Event("beforeprint"));
        const widths = [...document.querySelectorAll("canvas")].map((canvas) => parseInt(canvas.style.width));
        const open = document.querySelectorAll("[data-example]:not([open])").length;
        window.dispatchEvent(new Event("afterprint"));
        return { asked: asked.length, widest: Math.max(...widths), closed: open };
    }""")
    assert printed["asked"] == 1
    assert printed["widest"] <= 680, "a drawing as wide as the screen is cut off on paper"
    assert printed["closed"] == 0
    assert page.errors == []

    page.goto("/p/kitchen/leaderboard/compare/")
    page.get_by_text("Before and after: parent and child").wait_for()
    assert page.locator("figure").count() == 2
    assert page.errors == []

    for winner in ("a", "b", "a", "a"):
        said(one, winner)
    page.goto("/p/kitchen/leaderboard/")
    figure = page.locator("figure", has_text="From round to round")
    figure.locator("canvas").first.wait_for()
    figure.get_by_role("button", name="Table").click()
    head, first, second = (row.split() for row in figure.get_by_role("row").all_inner_texts())
    assert head[-2:] == ["Lower", "Upper"]
    assert (first[0], second[0]) == ("parent", "child")
    assert float(second[-2].replace(",", "")) < float(second[-3].replace(",", "")) < float(second[-1].replace(",", ""))
    labels = page.evaluate("""async () => {
        const { fitted } = await import("/static/js/chart_options.js");
        return [fitted("smollm2-1.7b+dpo-r2", 90), fitted("short", 90)];
    }""")
    assert labels[0].endswith("dpo-r2"), "models of one family differ at their ends"
    assert labels[1] == "short"
    assert page.errors == []
