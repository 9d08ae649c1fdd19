"""The rating page in a real browser: keys, prefetch, undo, a lost connection, hostile texts."""

import pytest
from rating_cast import judgments, press_and_go_on, saved, task_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_session_by_keyboard_alone(tasks, page_of, bob, project, leased):
    tasks(5)
    page = page_of(bob)
    shown = [output.pk for output in leased(bob).outputs]
    for key in ("a", "ArrowRight", "t", "n"):
        press_and_go_on(page, key)
    press_and_go_on(page, "1")
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    saved(page)
    made = judgments(project)
    tiers = [[item.tier for item in sorted(one.items.all(), key=lambda item: item.position)] for one in made]
    assert tiers == [[0, 1], [1, 0], [0, 0], [0, 0], [0, 1]]
    assert [one.none_acceptable for one in made] == [False, False, False, True, False]
    assert [item.output_id for item in sorted(made[0].items.all(), key=lambda item: item.position)] == shown
    assert all(one.counted and one.duration_ms > 0 for one in made)
    assert page.locator("#progress").inner_text().split() == ["5", "done", "·", "0", "left"]
    assert page.errors == []


def test_the_next_task_is_there_before_it_is_asked_for(tasks, page_of, bob):
    tasks(3)
    page = page_of(bob)
    page.wait_for_selector("#rate[data-waiting='1']", state="attached")
    page.context.set_offline(True)
    before = task_of(page)
    page.keyboard.press("a")
    assert task_of(page) != before, "the next task waited for the network"


def test_a_lost_connection_keeps_the_judgment_and_sends_it_later(tasks, page_of, bob, project):
    tasks(3)
    page = page_of(bob)
    page.context.set_offline(True)
    page.keyboard.press("b")
    page.get_by_text("1 waiting, will be sent").wait_for()
    assert judgments(project) == []
    page.context.set_offline(False)
    saved(page)
    assert len(judgments(project)) == 1


def test_an_answer_that_gets_lost_does_not_make_two(tasks, page_of, bob, project):
    """The server has stored the judgment, but its answer never arrives: the page sends it again, with its key."""
    tasks(2)
    page = page_of(bob)
    lost = []

    def lose(route):
        if lost:
            return route.continue_()
        lost.append(route.request.post_data)
        route.fetch()
        return route.abort()

    sending = f"**/rate/{task_of(page)}/**"
    page.route(sending, lose)
    with page.expect_request(sending):
        page.keyboard.press("a")
    saved(page)
    assert len(lost) == 1
    assert len(judgments(project)) == 1


def test_what_could_not_be_sent_survives_a_reload(tasks, page_of, bob, project):
    tasks(2)
    page = page_of(bob)
    page.route(f"**/rate/{task_of(page)}/**", lambda route: route.abort())
    page.keyboard.press("a")
    page.get_by_text("1 waiting, will be sent").wait_for()
    page.reload()  # still without a way to the server: else it might be sent just before
    page.get_by_text("1 waiting, will be sent").wait_for()
    assert not judgments(project)
    page.unroute_all()
    page.get_by_text("A judgment from before was saved.").wait_for()
    assert len(judgments(project)) == 1


def test_what_could_not_be_sent_is_there_after_a_reload_although_the_disk_hangs(tasks, page_of, bob, project):
    """Not lost, and at once not asked again: what the next page needs does not wait for the browser's database."""
    tasks(2)
    page = page_of(bob)
    page.add_init_script("IDBFactory.prototype.open = () => ({})")
    page.reload()
    first = task_of(page)
    page.route(f"**/rate/{first}/**", lambda route: route.abort())
    page.keyboard.press("a")
    page.get_by_text("1 waiting, will be sent").wait_for()
    page.reload()
    page.locator("#rate[data-begun]").wait_for()
    assert page.locator(f".rate-task[data-task='{first}']:not([data-sent])").count() == 0, "it is asked again"
    page.wait_for_function("task => document.querySelector('.rate-task').dataset.task !== task", arg=str(first))
    page.unroute_all()
    press_and_go_on(page, "b")
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    saved(page)
    assert len(judgments(project)) == 2
    page.reload()
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    assert page.evaluate("Object.keys(localStorage).filter((name) => name.includes('unsent'))") == []
    assert page.errors == []


def test_a_rater_without_another_task_waits_two_seconds_at_most_for_a_server_that_is_back(tasks, page_of, bob, project):
    tasks(1)
    page = page_of(bob)
    page.clock.install(time=0)
    page.clock.pause_at(60_000)  # from here on only as we say
    page.reload()
    sending = f"**/rate/{task_of(page)}/**"
    page.route(sending, lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.keyboard.press("a")
    for _ in range(7):  # with other tasks at hand the pauses grow to a quarter of a minute
        page.get_by_text("1 waiting, will be sent").wait_for()
        with page.expect_event("requestfailed"):
            page.clock.fast_forward(2000)
    page.get_by_text("1 waiting, will be sent").wait_for()
    page.unroute_all()
    page.clock.fast_forward(2000)
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    assert len(judgments(project)) == 1


def test_a_refusal_brings_the_task_back_with_what_was_said(tasks, page_of, bob, project):
    tasks(3)
    page = page_of(bob)
    first = task_of(page)
    refusal = '{"detail": "Not like that.", "code": "invalid", "fields": {}}'
    page.route(f"**/rate/{first}/**", lambda route: route.fulfill(status=400, body=refusal))
    for key in ("c", "w", "h", "y", "Escape", "a"):
        page.keyboard.press(key)
    page.get_by_text("Not like that.").wait_for()
    page.wait_for_function("task => document.querySelector('.rate-task').dataset.task === task", arg=str(first))
    assert page.get_by_label("Comment").input_value() == "why"
    page.unroute_all()
    press_and_go_on(page, "b")
    saved(page)
    assert [(judgment.task_id, judgment.comment) for judgment in judgments(project)] == [(first, "why")]


def test_a_double_click_makes_one(tasks, page_of, bob, project):
    tasks(1)
    page = page_of(bob)
    page.get_by_role("button", name="A better").dblclick()
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    assert len(judgments(project)) == 1


def test_undo_brings_the_task_back(tasks, page_of, bob, project, outcomes):
    tasks(3)
    page = page_of(bob)
    first = task_of(page)
    press_and_go_on(page, "a")
    saved(page)
    page.keyboard.press("u")
    page.wait_for_function("task => document.querySelector('.rate-task').dataset.task === task", arg=str(first))
    assert outcomes() == {}
    press_and_go_on(page, "t")
    saved(page)
    assert outcomes() == {("red", "blue"): (0, 0, 1, 0)}
    assert page.errors == []


def test_no_key_acts_while_one_types(tasks, page_of, bob, project):
    tasks(2)
    page = page_of(bob)
    page.keyboard.press("c")
    page.keyboard.type("bats n' ants")
    assert judgments(project) == []
    page.keyboard.press("Escape")
    press_and_go_on(page, "b")
    saved(page)
    (judgment,) = judgments(project)
    assert judgment.comment == "bats n' ants"


def test_strength_flags_and_a_correction_go_with_the_verdict(tasks, page_of, bob, project):
    tasks(2, "red", "blue")
    page = page_of(bob)
    page.keyboard.press(".")
    page.keyboard.press("x")
    page.get_by_label("Unsafe").check()
    page.keyboard.press("q")  # the first answer's text, to be made right
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("The answer is 42,\nand nothing else. abt")
    page.keyboard.press("Escape")
    corrected = int(page.locator(".answer").first.get_attribute("data-output"))
    press_and_go_on(page, "a")
    press_and_go_on(page, "t")
    saved(page)
    said, unsaid = judgments(project)
    assert (said.strength, said.flags) == ("clear", ["unsafe"])
    corrections = {item.output_id: item.correction for item in said.items.all()}
    assert corrections.pop(corrected) == "The answer is 42,\nand nothing else. abt"
    assert set(corrections.values()) == {""}
    assert (unsaid.strength, unsaid.flags, {item.correction for item in unsaid.items.all()}) == ("", [], {""})
    page.goto(f"/p/{project.slug}/rate/history/")
    page.get_by_text("A better, shown left, clearly").wait_for()
    assert page.errors == []


def test_what_was_said_is_edited_from_the_history(tasks, page_of, bob, project, outcomes):
    tasks(1, "red", "green", "blue", kind="ranking")
    page = page_of(bob)
    ids = page.locator(".rank-item").evaluate_all("items => items.map(item => Number(item.dataset.output))")
    for key in ("3", "ArrowUp", "3", "=", "Enter"):  # first > third = second
        page.keyboard.press(key)
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    saved(page)
    page.goto(f"/p/{project.slug}/rate/history/")
    page.get_by_role("link", name="Edit").click()
    page.get_by_text("You said:").wait_for()
    page.wait_for_load_state()  # its scripts have run: keys are keys
    shown = page.locator(".rank-item").evaluate_all("items => items.map(item => Number(item.dataset.output))")
    assert shown[0] == ids[0]
    assert page.locator(".rank-item.is-tied").count() == 1
    page.keyboard.press("c")
    page.keyboard.type("on second thoughts")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.get_by_text("Only what you say now counts.").wait_for()
    first, second = judgments(project)
    assert {item.output_id: item.tier for item in first.items.all()} == {ids[0]: 0, ids[1]: 1, ids[2]: 1}
    assert (second.supersedes, second.none_acceptable, second.comment) == (first, True, "on second thoughts")
    assert set(outcomes().values()) == {(0, 0, 0, 1)}
    assert page.errors == []


def test_only_words_that_differ_are_marked(tasks, answers, page_of, bob, project):
    answers(1, "red", text="The cat sat on **the mat** today.")
    answers(1, "blue", text="The dog sat on **the mat**.")
    from feedbackhub.catalog.models import ModelVersion
    from feedbackhub.rating.services import tasks_create

    tasks_create(project=project, models=list(ModelVersion.objects.filter(project=project)))
    page = page_of(bob)
    marked = """() => [...(CSS.highlights.get("difference") ?? [])].map((range) =>
        range.startContainer.data.slice(range.startOffset, range.endOffset)).sort()"""
    assert page.evaluate(marked) == []
    page.keyboard.press("d")
    assert page.evaluate(marked) == ["cat", "dog", "today"]
    page.reload()
    assert page.evaluate(marked) == ["cat", "dog", "today"], "the setting was not kept"
    page.keyboard.press("d")
    assert page.evaluate(marked) == []
    page.keyboard.press("f")
    assert not page.locator(".topbar").is_visible()
    page.keyboard.press("f")
    assert page.locator(".topbar").is_visible()
    assert page.errors == []


def test_a_break_is_proposed_after_three_quarters_of_an_hour(tasks, page_of, bob):
    tasks(20)
    page = page_of(bob)
    page.clock.install()
    page.reload()
    for _ in range(9):  # a vote every five minutes
        page.clock.fast_forward("05:01")
        press_and_go_on(page, "a")
    page.get_by_text("A short break keeps judgments good.").wait_for()
    assert page.locator("#session-time").inner_text() == "45 min"
    page.clock.fast_forward("11:00")
    press_and_go_on(page, "b")
    assert page.locator("#session-time").inner_text() == ""


def test_skip_and_guidelines(tasks, page_of, bob, project):
    from feedbackhub.rating.models import Skip

    tasks(2)
    page = page_of(bob)
    page.keyboard.press("g")
    page.get_by_role("heading", name="Guidelines").wait_for()
    page.keyboard.press("g")
    first = task_of(page)
    press_and_go_on(page, "s")
    page.get_by_text("Skipped.").wait_for()
    assert Skip.objects.get().task_id == first
    assert judgments(project) == []


def test_a_ranking_by_keys(tasks, page_of, bob, project):
    tasks(1, "red", "green", "blue", kind="ranking")
    page = page_of(bob)
    ids = page.locator(".rank-item").evaluate_all("items => items.map(item => Number(item.dataset.output))")
    page.keyboard.press("3")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("3")
    page.keyboard.press("=")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    (judgment,) = judgments(project)
    tiers = {item.output_id: item.tier for item in judgment.items.all()}
    assert tiers == {ids[2]: 0, ids[0]: 1, ids[1]: 1}
    assert page.errors == []


def test_a_ranking_by_drag_and_buttons(tasks, page_of, bob, project):
    tasks(1, "red", "green", "blue", kind="ranking")
    page = page_of(bob)
    items = page.locator(".rank-item")
    ids = items.evaluate_all("items => items.map(item => Number(item.dataset.output))")
    handle = items.nth(2).locator(".rank-handle").bounding_box()
    top = items.nth(0).bounding_box()
    page.mouse.move(handle["x"] + 4, handle["y"] + 4)
    page.mouse.down()
    page.mouse.move(top["x"] + 20, top["y"] + 8, steps=12)
    page.mouse.up()
    page.wait_for_function("id => Number(document.querySelector('.rank-item').dataset.output) === id", arg=ids[2])
    items.nth(1).get_by_role("button", name="down").click()
    page.get_by_role("button", name="Submit this order").click()
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    (judgment,) = judgments(project)
    assert {item.output_id: item.tier for item in judgment.items.all()} == {ids[2]: 0, ids[1]: 1, ids[0]: 2}


def test_thumbs_by_key(tasks, page_of, bob, project):
    tasks(2, "red", kind="thumbs")
    page = page_of(bob)
    press_and_go_on(page, "ArrowUp")
    press_and_go_on(page, "-")
    saved(page)
    assert [one.items.get().thumbs for one in judgments(project)] == [1, -1]


def test_scores_by_number_keys(tasks, page_of, bob, project):
    project.criteria = [
        {"key": "truth", "label": "Truthful", "min": 1, "max": 5},
        {"key": "style", "label": "Style", "min": 1, "max": 5},
    ]
    project.save()
    tasks(1, "red", kind="scores")
    page = page_of(bob)
    for key in ("4", "2", "Enter"):
        page.keyboard.press(key)
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    assert judgments(project)[0].items.get().scores == {"truth": 4, "style": 2}


HOSTILE = """<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">
<svg onload="window.hacked = 1"></svg><style>body { display: none }</style>
[click](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>)
![x](javascript:window.hacked=1) ![y](https://evil.invalid/pixel.png) <javascript:window.hacked=1>
[tab](java\tscript:window.hacked=1) [enc](&#106;avascript:window.hacked=1)
`<img src=x onerror=window.hacked=1>`

```html
</code></pre><script>window.hacked = 1</script>
```

| <img src=x onerror=window.hacked=1> | b |
|---|---|
| [x](javascript:window.hacked=1) | {name} |
"""


def test_no_text_of_a_model_is_ever_executed(tasks, answers, page_of, bob, project):
    from feedbackhub.rating.services import tasks_create

    models = answers(1, "red", "blue", text=HOSTILE)
    tasks_create(project=project, models=list(models.values()))
    asked = []
    page = page_of(bob)
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    for link in page.locator(".answer a").all():
        assert link.get_attribute("href").startswith("https://evil.invalid/"), link.get_attribute("href")
    assert page.locator(".answer script, .answer img, .answer svg, .answer style, .answer [onerror]").count() == 0
    assert page.locator(".answer").first.is_visible()
    assert page.evaluate("window.hacked") is None
    assert not [url for url in asked if "evil" in url]
    assert page.errors == []
