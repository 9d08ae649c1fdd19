"""Two tabs of one rater: each task is judged once, and none is lost."""

import pytest
from rating_cast import judgments, press_and_go_on, saved, task_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
GONE = "task => document.querySelector('.rate-task').dataset.task !== task"


def test_two_tabs_judge_each_task_once(tasks, page_of, bob, project):
    tasks(6)
    one = page_of(bob)
    other = one.context.new_page()
    other.goto(f"/p/{project.slug}/rate/")
    other.wait_for_selector("#rate[data-begun]")
    assert task_of(one) == task_of(other), "a rater's tabs show the task that they hold"
    for number in range(5):
        here, there = (one, other) if number % 2 else (other, one)
        shown = task_of(there)
        press_and_go_on(here, "ab"[number % 2])
        there.wait_for_function(GONE, arg=str(shown))
    press_and_go_on(one, "t")
    for tab in (one, other):
        tab.get_by_text("Nothing is left for you to rate.").wait_for()
        saved(tab)
    made = judgments(project)
    assert len(made) == len({judgment.task_id for judgment in made}) == 6
    assert all(judgment.counted for judgment in made)


def test_what_one_tab_could_not_send_is_not_asked_in_another(tasks, page_of, bob, project):
    tasks(2)
    page = page_of(bob)
    page.route("**/rate/*/**", lambda route: route.abort())
    first = task_of(page)
    press_and_go_on(page, "a")
    page.get_by_text("1 waiting, will be sent").wait_for()
    other = page.context.new_page()
    other.goto(f"/p/{project.slug}/rate/")
    other.wait_for_function(GONE, arg=str(first))
    press_and_go_on(other, "b")
    other.get_by_text("Nothing is left for you to rate.").wait_for()
    saved(other)
    assert len(judgments(project)) == 2
    page.unroute_all()
    page.bring_to_front()
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    saved(page)
    assert len(judgments(project)) == 2
