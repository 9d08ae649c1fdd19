"""The rating page in German, and pages written from right to left, in a real browser."""

import os

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIDTHS = (1440, 390)
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page_for(chromium, live_server, client_of, settings, valkey):
    """page_for(bob, locale="de-DE"): a page of a browser of that language, signed in."""
    settings.ALLOWED_HOSTS = ["*"]
    contexts, under_way = [], {}

    def open_page(user, **options):
        context = chromium.new_context(base_url=live_server.url, **options)
        session = client_of(user).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        requests = under_way[page] = set()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: requests.add(request))
        page.on("requestfinished", lambda request: requests.discard(request))
        page.on("requestfailed", lambda request: requests.discard(request))
        return page

    yield open_page
    # What the server is still at would meet the emptying of the tables.
    for page, requests in under_way.items():
        while requests:
            page.wait_for_timeout(10)  # its events come while one waits
    for context in contexts:
        context.close()


def test_a_rater_works_in_german(tasks, page_for, bob, project):
    from feedbackhub.rating.models import Judgment

    tasks(3)
    page = page_for(bob, locale="de-DE")
    page.goto(f"/p/{project.slug}/rate/")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("heading", name="Welche Antwort ist besser?")).to_be_visible()
    first = page.locator(".rate-task").get_attribute("data-task")
    page.keyboard.press("a")
    expect(page.locator("#rate-state")).to_have_text("Gespeichert")
    expect(page.locator(".toast")).to_contain_text("Rückgängig")
    page.keyboard.press("u")
    expect(page.locator(".rate-task")).to_have_attribute("data-task", first)
    expect(page.locator(".toast")).to_contain_text("Zurückgenommen")
    page.keyboard.press("?")
    overlay = page.get_by_role("dialog", name="Tasten auf dieser Seite")
    expect(overlay).to_contain_text("A ist besser")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator("#rate-state")).to_have_text("Gespeichert")
    assert [one.withdrawn for one in Judgment.objects.filter(project=project).order_by("pk")] == [False, True, False]
    page.locator(".topbar-user > summary").click()
    page.locator(".topbar-user").get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Which answer is better?")).to_be_visible()
    assert page.errors == []


def test_from_right_to_left_the_arrows_mean_what_is_on_the_screen(tasks, page_for, bob, project, settings, leased):
    from feedbackhub.rating.models import Judgment

    settings.LANGUAGES = [*settings.LANGUAGES, ("ar", "Arabic")]
    tasks(1)
    shown = [output.pk for output in leased(bob).outputs]
    page = page_for(bob, locale="ar-EG")
    page.goto(f"/p/{project.slug}/rate/")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    left, right = sorted(page.locator(".answer").all(), key=lambda answer: answer.bounding_box()["x"])
    assert [int(answer.get_attribute("data-output")) for answer in (left, right)] == shown
    page.keyboard.press("ArrowLeft")
    page.locator("[data-nothing]").wait_for()
    expect(page.locator("#rate-state")).to_have_text("Saved")
    best = Judgment.objects.get(project=project).items.get(tier=0)
    assert best.output_id == shown[0]


def test_an_arabic_answer_stands_from_the_right_on_an_english_page(answers, page_for, bob, project):
    from feedbackhub.rating.services import tasks_create

    models = answers(1, "red", "blue", text="هذه إجابة {name}")
    tasks_create(project=project, models=list(models.values()))
    page = page_for(bob)
    page.goto(f"/p/{project.slug}/rate/")
    body = page.locator("[data-answer-text]").first
    assert body.evaluate("body => getComputedStyle(body).direction") == "rtl"
    assert page.locator("[data-answer-text] > p").first.evaluate("p => getComputedStyle(p).direction") == "rtl"


@pytest.mark.parametrize("language", ["de", "ar"])
def test_no_page_is_wider_than_the_window(tasks, judged, page_for, root, bob, carol, project, settings, language):
    settings.LANGUAGES = [*settings.LANGUAGES, ("ar", "Arabic")]
    tasks(4, "a model with a rather long name of its own", "another-model-without-any-space-in-its-name")
    for rater in (bob, bob, carol):
        judged(rater)
    page = page_for(root, locale=language)
    for path in (
        "rate/",
        "rate/tasks/",
        "rate/quality/",
        "leaderboard/",
        "settings/",
        "rounds/datasets/",
        "imports/",
        "",
    ):
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"/p/{project.slug}/{path}")
            assert page.locator("html").get_attribute("lang") == language
            assert page.evaluate(TOO_WIDE) <= 1, f"{path} at {width} px"
