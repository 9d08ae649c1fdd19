"""A whole session of each kind, by keyboard alone and by touch on a phone; no page of a rater breaks a rule of axe."""

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from rating_cast import judgments, saved, task_of

from feedbackhub.rating.models import Task
from feedbackhub.rating.services import task_skip, tasks_create

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MODELS = {"pairwise": ("red", "blue"), "ranking": ("red", "green", "blue"), "thumbs": ("red",), "scores": ("red",)}
VERDICT = {
    "pairwise": ["b"],
    "ranking": ["3", "ArrowUp", "=", "Enter"],
    "thumbs": ["ArrowUp"],
    "scores": ["4", "Enter"],
}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 1}
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
STEPS, STEP_S = 8, 0.02  # of a dragging finger between two points
ANOTHER = "task => document.querySelector('.rate-task').dataset.task !== task"


@pytest.fixture
def two_tasks(tasks, project):
    """two_tasks(kind): two tasks of a kind, and what scores need."""

    def make(kind):
        project.criteria = [{"key": "truth", "label": "Truthful", "min": 1, "max": 5}]
        project.save()
        return tasks(2, *MODELS[kind], kind=kind)

    return make


def tab_to(page, target) -> None:
    for _ in range(80):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached by Tab")


def press(page, *keys) -> None:
    for key in keys:
        page.keyboard.press(key)


def say_everything(page, kind) -> None:
    """A flag, a comment, a correction, a marked passage and a verdict, by keys."""
    press(page, "x", "Space", "Escape", "c")
    page.keyboard.type("ab tn")
    press(page, "Escape")
    if kind == "ranking":
        tab_to(page, page.locator(".rate-correct > summary").first)
        press(page, "Enter", "Tab")
    else:
        press(page, "q")
    press(page, "ControlOrMeta+a")
    page.keyboard.type("As it should be")
    press(page, "Escape", "m", "ArrowRight", "Shift+ArrowRight", "1", "Escape")
    if kind == "pairwise":
        press(page, ".")
    press(page, *VERDICT[kind])


@pytest.mark.parametrize("kind", MODELS)
def test_a_session_by_keyboard_alone(two_tasks, page_of, bob, project, kind):
    two_tasks(kind)
    page = page_of(bob)
    first = task_of(page)
    say_everything(page, kind)
    page.wait_for_function(ANOTHER, arg=str(first))
    saved(page)
    press(page, "u")
    expect(page.locator(".rate-task")).to_have_attribute("data-task", str(first))
    say_everything(page, kind)
    page.wait_for_function(ANOTHER, arg=str(first))
    press(page, *VERDICT[kind])
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    saved(page)
    taken_back, _, said, bare = judgments(project)
    for judgment in (taken_back, said):
        assert (judgment.flags, judgment.comment) == (["unsafe"], "ab tn")
        assert [item.correction for item in judgment.items.all() if item.correction] == ["As it should be"]
        assert [(span["text"], span["reason"]) for span in judgment.spans] == [("answers 0", "factual_error")]
        assert judgment.strength == ("clear" if kind == "pairwise" else "")
    assert (bare.flags, bare.comment, bare.spans) == ([], "", [])

    tab_to(page, page.get_by_role("link", name="What you have said"))
    press(page, "Enter")
    edit = page.get_by_role("link", name="Edit").nth(1)
    edit.wait_for()
    tab_to(page, edit)
    press(page, "Enter")
    page.get_by_role("button", name="Take off the mark").wait_for()
    press(page, "m", "2", "Escape", *VERDICT[kind])
    page.get_by_text("Only what you say now counts.").wait_for()
    again = judgments(project)[-1]
    assert again.supersedes == said
    assert (again.flags, again.comment) == (["unsafe"], "ab tn")
    assert len(again.spans) == 2
    assert page.errors == []


class Finger:
    """One finger on the page's screen, through the browser's own touch events."""

    def __init__(self, page):
        self.page, self.session = page, page.context.new_cdp_session(page)

    def _send(self, kind: str, at: float, *points) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches, "timestamp": at})

    def drag(self, start, *way, lift=True) -> None:
        """Down at `start`, in small steps along the points of `way`, at rest in the end, and up.

        A finger that is still moving when it leaves makes a fling, and the browser takes the next tap for its stop.
        """
        corners = [start, *way, way[-1]]
        steps = [
            (x + (to_x - x) * step / STEPS, y + (to_y - y) * step / STEPS)
            for (x, y), (to_x, to_y) in zip(corners, corners[1:])
            for step in range(1, STEPS + 1)
        ]
        began = time.time() - (len(steps) + 1) * STEP_S
        self._send("touchStart", began, start)
        for number, point in enumerate(steps, start=1):
            self._send("touchMove", began + number * STEP_S, point)
        if lift:
            self.lift()

    def lift(self) -> None:
        self._send("touchEnd", time.time())


def on_answer(page) -> tuple[float, float]:
    box = page.locator(".answer-body").first.bounding_box()
    return 195, box["y"] + 20


@pytest.mark.parametrize("kind", MODELS)
def test_a_session_by_touch_on_a_phone(two_tasks, page_of, bob, project, kind):
    two_tasks(kind)
    page = page_of(bob, **PHONE)
    assert page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390], "it scrolls sideways"
    small = page.locator("main :is(button, summary, label.choice, .rate-mark > span)").evaluate_all(
        "all => all.filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 43.5)"
        ".map((one) => one.textContent.trim())"
    )
    assert small == [], "too small for a finger"
    first = task_of(page)
    page.locator(".rate-flags > summary").tap()
    page.get_by_label("Off topic").tap()
    page.get_by_role("button", name="Mark", exact=True).tap()
    page.locator("[data-answer-text] p").first.tap(position={"x": 4, "y": 8})
    page.get_by_role("button", name="Unclear").tap()
    page.get_by_role("button", name="Done").tap()
    finger = Finger(page)
    if kind in ("pairwise", "thumbs"):
        x, y = on_answer(page)
        finger.drag((x, y), (x - 60, y), lift=False)
        expect(page.locator("[data-swipe-hint]")).to_be_visible()
        finger.lift()
        finger.drag((x, y), (x - 170, y), (x - 20, y))  # far enough, and back again
        finger.drag((x, y), (x + 20, y + 160))  # scrolls
        finger.drag((x, y), (x, y + 120), (x + 180, y + 120))  # scrolls, and wanders
        expect(page.locator("[data-swipe-hint]")).to_be_hidden()
        assert task_of(page) == first
        assert judgments(project) == [], "a finger that did not swipe has voted"
        page.evaluate("scrollTo(0, 0)")
        x, y = on_answer(page)
        finger.drag((x, y), (x + 170, y + 10))
    else:
        if kind == "ranking":
            page.locator(".rank-item").nth(1).get_by_role("button", name="up").tap()
        else:
            page.locator(".rate-mark", has_text="4").tap()
        page.get_by_role("button", name="Submit").tap()
    page.wait_for_function(ANOTHER, arg=str(first))
    saved(page)
    (judgment,) = judgments(project)
    assert judgment.flags == ["off_topic"]
    assert [span["reason"] for span in judgment.spans] == ["unclear"]
    items = sorted(judgment.items.all(), key=lambda item: item.position)
    if kind == "pairwise":
        assert [item.tier for item in items] == [1, 0], "the right one is better"
    elif kind == "ranking":
        assert [item.tier for item in items] == [1, 0, 2]
    else:
        assert (items[0].thumbs, items[0].scores) == ((1, {}) if kind == "thumbs" else (None, {"truth": 4}))
    page.locator("#undo").tap()
    expect(page.locator(".rate-task")).to_have_attribute("data-task", str(first))
    assert page.errors == []


def test_no_page_of_a_rater_breaks_a_rule_of_axe(tasks, answers, judged, page_of, bob, project):
    project.criteria = [{"key": "truth", "label": "Truthful", "min": 1, "max": 5}]
    project.save()
    tasks(1, "red", "blue")
    judged(bob, comment="Said")
    page = page_of(bob)
    base = f"/p/{project.slug}"
    found = []

    def check(where: str) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.evaluate(PAINTED)
            results = Axe().run(page).response["violations"]
            found.extend((where, scheme, one["id"], one["nodes"][0]["html"][:120]) for one in results)

    check("nothing left")
    long = (
        "# Head\n\n| a | b |\n|---|---|\n| $x$ | `y` |\n\n```python\nprint(1)\n```\n\n" + "A line of the text. " * 900
    )
    for kind, names in MODELS.items():
        models = answers(1, *(f"{kind}-{name}" for name in names), text=f"{{name}} says\n\n{long}")
        tasks_create(project=project, models=list(models.values()), kind=kind)
        page.goto(f"{base}/rate/")
        page.locator(".math[data-tex]").first.wait_for()
        if kind == "pairwise":
            check("long answers, cut")
            press(page, "y")
            check("long answers, scrolled together")
            press(page, "y")
        press(page, "x", "Escape", "c", "Escape", "m", "Shift+ArrowRight", "1", "Shift+ArrowRight")
        check(f"{kind}, marking")
        task_skip(rater=bob, task=Task.objects.order_by("-pk").first(), reason="")
    for path in ("rate/history/", f"rate/history/{judgments(project)[0].pk}/edit/", "me/"):
        page.goto(f"{base}/{path}")
        check(path)
    assert found == []
