"""What helps a rater read, in a real browser: formulas, long answers, and passages marked with a reason."""

import pytest
from rating_cast import judgments, press_and_go_on, saved

from feedbackhub.rating.services import tasks_create

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
TEXT = """**Paris** is the capital of France 🇫🇷, it has `2` million people: $E = mc^2$, and

- the *Louvre*
- the [Eiffel Tower](https://example.org/eiffel) of 1889
"""
MARKED = """() => Object.fromEntries(["problem", "praise", "chosen"].map((name) => [name,
    [...(CSS.highlights.get(`mark-${name}`) ?? [])].map((range) => {
        const live = document.createRange();
        live.setStart(range.startContainer, range.startOffset);
        live.setEnd(range.endContainer, range.endOffset);
        return live.toString();
    })]))"""
SELECT = """([from, to]) => {
    const texts = document.createTreeWalker(document.querySelector("[data-answer-text]"), NodeFilter.SHOW_TEXT);
    const selection = getSelection();
    const at = (part) => {
        for (let node = texts.currentNode; node; node = texts.nextNode()) {
            const index = node.nodeType === Node.TEXT_NODE ? node.data.indexOf(part) : -1;
            if (index >= 0) return [node, index];
        }
    };
    const [start, end] = [at(from), at(to)];
    selection.setBaseAndExtent(start[0], start[1] + 1, end[0], end[1] + 2);
}"""


@pytest.fixture
def pair(answers, project):
    """pair(text, other): a task of two answers of these texts."""

    def make(text, other, **wish):
        models = {**answers(1, "red", text=text), **answers(1, "blue", text=other)}
        tasks_create(project=project, models=list(models.values()), **wish)

    return make


def test_passages_are_marked_by_mouse_and_by_keys_and_marked_anew(pair, page_of, bob, project):
    pair(TEXT, f"{TEXT}\nAnd more.")
    page = page_of(bob, color_scheme="dark")
    complaints = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.locator(".math[data-tex] .katex").first.wait_for()
    shown = page.locator("[data-answer-text]").evaluate_all("all => all.map((one) => JSON.parse(one.dataset.source))")

    # By mouse: a selection from within a word to within another takes both whole; its reason is chosen by click.
    page.evaluate(SELECT, ["France", "million"])
    bar = page.locator("[data-mark-bar]")
    bar.wait_for()
    assert page.evaluate(MARKED)["chosen"] == ["France 🇫🇷, it has 2 million"]
    bar.get_by_role("button", name="Factual error").click()
    bar.wait_for(state="hidden")

    # By keys: a word of the list of the other answer, three words, in words of one's own. No key votes meanwhile.
    for key in (
        "m",
        "b",
        "End",
        "ArrowUp",
        "ArrowUp",
        "Home",
        "Shift+ArrowRight",
        "Shift+ArrowRight",
        "t",
        "n",
        "Enter",
        "s",
    ):
        page.keyboard.press(key)
    assert page.evaluate(MARKED)["chosen"] == ["Paris is the"]
    page.keyboard.press("6")
    page.keyboard.type("a1 tone")
    page.keyboard.press("Enter")
    for key in ("ArrowDown", "ArrowDown", "Shift+ArrowRight", "5"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    marked = page.evaluate(MARKED)
    assert marked["problem"] == ["France 🇫🇷, it has 2 million", "Paris is the"]
    assert len(marked["praise"]) == 1
    assert marked["chosen"] == []

    page.keyboard.press("a")
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    saved(page)
    (judgment,) = judgments(project)
    first, second, third = judgment.spans
    outputs = [item.output_id for item in sorted(judgment.items.all(), key=lambda item: item.position)]
    assert (first["text"], first["reason"]) == ("France 🇫🇷, it has `2` million", "factual_error")
    assert (second["text"], second["reason"]) == ("Paris** is the", "a1 tone")
    assert third["reason"] == "well_put"
    assert [span["output"] for span in judgment.spans] == [outputs[0], outputs[1], outputs[1]]
    for span in judgment.spans:
        assert shown[outputs.index(span["output"])][span["start"] : span["end"]] == span["text"]

    # From the history: what was marked is painted again, a mark is taken off, a formula is marked as one.
    page.goto(f"/p/{project.slug}/rate/history/")
    page.get_by_text("The answers").click()
    page.get_by_text("a1 tone").wait_for()
    page.get_by_role("link", name="Edit").click()
    page.locator(".math[data-tex] .katex").first.wait_for()
    assert page.evaluate(MARKED)["problem"] == ["France 🇫🇷, it has 2 million", "Paris is the"]
    page.get_by_role("button", name="Take off the mark “Paris** is the”").click()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.math .katex-html'))")
    bar.wait_for()
    page.keyboard.press("3")
    page.keyboard.press("t")
    page.get_by_text("Only what you say now counts.").wait_for()
    again = judgments(project)[-1].spans
    assert [(span["text"], span["reason"]) for span in again] == [
        ("France 🇫🇷, it has `2` million", "factual_error"),
        ("$E = mc^2$", "unclear"),
        (third["text"], "well_put"),
    ]
    assert complaints == []
    assert page.errors == []


HOSTILE = r"""$\href{javascript:window.hacked=1}{x}$ and \(\htmlClass{btn}{y}\) and $\url{javascript:window.hacked=1}$
$\includegraphics{https://evil.invalid/pixel.png}$ $\htmlStyle{position:fixed}{z}$ $\htmlData{key=a}{z}$
$\def\a{\b\b\b\b}\def\b{\c\c\c\c}\def\c{\d\d\d\d}\def\d{\e\e\e\e}\def\e{xxxx}\a$ $\def\f{\f\f}\f$
$\rule{9999em}{9999em}$ $\raisebox{40em}{A better}$ $x^{x^{x^{x^{x^{x}}}}}$ $<img src=x onerror=window.hacked=1>$
It costs $5 and $10, or US$20 or $30. \[ \fbox{$y$} \] $$\frac{1$$"""


def test_formulas_are_typeset_and_harmless(pair, page_of, bob):
    pair(HOSTILE, "$a_1 + b_1$ is\n\\[\n- \\sum_i x_i\n= 2\n\\]")
    page = page_of(bob)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.reload()
    hostile = page.locator("[data-answer-text]", has_text="It costs")
    plain = page.locator("[data-answer-text]", has_not_text="It costs")
    plain.locator(".math-display[data-tex] .katex-display").wait_for()
    assert plain.locator(".math[data-tex]").count() == 2
    assert "It costs $5 and $10, or US$20 or $30." in hostile.inner_text()
    assert (
        page.locator(".answer :is(.katex a, img, script, .katex [onerror], [style*=fixed], .katex .btn)").count() == 0
    )
    assert "\\frac{1" in hostile.inner_text(), "what cannot be typeset is not shown"
    page.keyboard.press("e")
    boxes = hostile.locator(".math").evaluate_all("all => all.map((one) => getComputedStyle(one).contain)")
    assert set(boxes) == {"paint"}, "a formula can paint over the page"
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert not [url for url in asked if "evil" in url]
    assert complaints == []
    assert page.errors == []


LONG = "\n\n".join(
    f"Paragraph {number}: as long as a line may well be, and then some more of it." for number in range(60)
)


def test_long_answers_are_cut_evenly_opened_and_scrolled_together(pair, page_of, bob):
    half = LONG[: len(LONG) // 2]
    pair(LONG, half)
    page = page_of(bob, viewport={"width": 1440, "height": 900})
    heights = "all => all.map((one) => Math.round(one.getBoundingClientRect().height))"
    texts = page.locator("[data-answer-text]")
    first, second = texts.evaluate_all(heights)
    assert first == second < 600
    more = page.get_by_role("button", name="Show all")
    assert more.count() == 2
    words = more.locator("[data-more-words]").all_inner_texts()
    assert max(map(int, words)) > 300
    more.first.click()
    assert more.count() == 0
    assert min(texts.evaluate_all(heights)) > 1000
    page.reload()
    assert more.count() == 0, "the wish was not kept"
    page.keyboard.press("e")
    assert more.count() == 2
    page.keyboard.press("m")
    assert min(texts.evaluate_all(heights)) > 1000, "words are marked that cannot be seen"
    page.keyboard.press("Escape")
    page.keyboard.press("y")
    assert more.count() == 0
    share = "all => all.map((one) => one.scrollTop / (one.scrollHeight - one.clientHeight))"
    texts.first.evaluate("one => { one.scrollTop = (one.scrollHeight - one.clientHeight) / 2 }")
    page.wait_for_function("() => document.querySelectorAll('[data-answer-text]')[1].scrollTop > 0")
    assert texts.evaluate_all(share) == pytest.approx([0.5, 0.5], abs=0.01)
    texts.nth(1).evaluate("one => { one.scrollTop = one.scrollHeight }")
    page.wait_for_function(
        "() => { const [one] = document.querySelectorAll('[data-answer-text]');"
        " return one.scrollTop >= one.scrollHeight - one.clientHeight - 1 }"
    )
    press_and_go_on(page, "a")
    assert page.errors == []
