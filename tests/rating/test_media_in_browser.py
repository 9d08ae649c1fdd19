"""Pictures and videos on the rating page in a real browser: seen, seen large, rated by keyboard."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from looks import at_rest
from pictures import png
from rating_cast import judgments, press_and_go_on, saved

from feedbackhub.catalog.models import Output
from feedbackhub.rating.services import tasks_create

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def axe_finds_nothing(page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        at_rest(page)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_a_pair_of_pictures_is_rated_by_keyboard(answers, kept, page_of, bob, project):  # noqa: F811
    models = answers(2, "red", "blue")
    for number, output in enumerate(Output.objects.order_by("pk")):
        output.parts = [kept(png((60 * number, 80, 160), width=1600, height=900), f"Square {number}")]
        output.save()
    tasks_create(project=project, models=list(models.values()))
    page = page_of(bob)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    loaded = """() => [...document.querySelectorAll(".answer img")].map((one) => one.complete && one.naturalWidth)"""
    page.wait_for_function(f"() => ({loaded})().every((width) => width === 1600)")
    wide = page.locator(".answer img").evaluate_all(
        "all => all.map(one => one.width <= one.closest('.answer').clientWidth)"
    )
    assert wide == [True, True], "a picture does not fit its column"
    alts = page.locator(".answer img").evaluate_all("images => images.map((image) => image.alt)")

    page.keyboard.press("v")
    dialog = page.locator("dialog.media-viewer[open]")
    dialog.get_by_role("heading", name="Answer A · 1 of 2").wait_for()
    axe_finds_nothing(page)
    page.keyboard.press("ArrowRight")  # goes on to the next picture, and judges nothing
    dialog.get_by_role("heading", name="Answer B · 2 of 2").wait_for()
    assert dialog.locator(".media-stage img").get_attribute("alt") == alts[1]
    for key in ("a", "t", "1"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert judgments(project) == []
    page.locator(".answer img").first.click()
    dialog.get_by_role("heading", name="Answer A").wait_for()
    page.keyboard.press("v")

    page.wait_for_selector("#rate[data-waiting='1']", state="attached")
    page.wait_for_function(
        """() => performance.getEntriesByType("resource").filter((one) => one.name.includes("/media/")).length === 4"""
    )
    before = len([url for url in asked if "/media/" in url])
    press_and_go_on(page, "ArrowRight")
    page.wait_for_function(f"() => ({loaded})().every((width) => width === 1600)")
    assert len([url for url in asked if "/media/" in url]) == before, "the next pictures had to be waited for"
    press_and_go_on(page, "a")
    saved(page)
    first, second = judgments(project)
    assert [item.tier for item in sorted(first.items.all(), key=lambda item: item.position)] == [1, 0]
    assert [item.tier for item in sorted(second.items.all(), key=lambda item: item.position)] == [0, 1]

    page.goto(f"/p/{project.slug}/rate/history/")
    page.get_by_text("The answers").first.click()
    page.wait_for_function("() => [...document.querySelectorAll('.said img')].some((one) => one.naturalWidth === 1600)")
    page.locator(".said img").first.click()
    dialog.get_by_role("heading", name="Answer A · 1 of 2").wait_for()
    assert page.errors == []


def test_a_video_of_a_task_fetched_ahead_plays_and_its_keys_judge_nothing(answers, kept, page_of, bob, project):  # noqa: F811
    models = answers(2, "red", "blue")
    ball = (Path(__file__).parent / "ball.webm").read_bytes()
    for output in Output.objects.filter(model__name="blue"):
        output.parts = [kept(ball, "A ball that rolls")]
        output.save()
    tasks_create(project=project, models=list(models.values()))
    page = page_of(bob)
    page.wait_for_selector("#rate[data-waiting='1']", state="attached")
    press_and_go_on(page, "a")
    video = page.locator(".answer video")
    axe_finds_nothing(page)
    page.wait_for_function("() => document.querySelector('.answer video').readyState >= 3")
    assert video.evaluate("one => [one.paused, one.controls, one.videoWidth]") == [True, True, 64]
    video.evaluate("one => { one.addEventListener('play', () => (window.played = true)); one.focus(); }")
    for key in ("ArrowLeft", "ArrowRight", "Space"):  # the video's own, while it has the focus
        page.keyboard.press(key)
    page.wait_for_function("() => window.played")
    saved(page)
    assert len(judgments(project)) == 1
    page.keyboard.press("v")
    dialog = page.locator("dialog.media-viewer[open]")
    page.keyboard.press("p")
    page.wait_for_function("() => document.querySelector('dialog video').played.length")
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    press_and_go_on(page, "t")
    saved(page)
    assert len(judgments(project)) == 2
    assert page.errors == []
