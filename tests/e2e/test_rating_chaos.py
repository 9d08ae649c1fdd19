"""Judgments made in a real browser while servers die and the network loses, doubles, reorders: all there, each once."""

import random
from collections import Counter

import pytest
from chaos_proxy import ChaosProxy
from live_site import Server, wait_for
from playwright.sync_api import Error
from rating_cast import judgments, task_of

from feedbackhub.rating.services import tallies_check

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
READY = "() => document.querySelector('#rate[data-begun] .rate-task[data-task]:not([data-sent])') !== null"


@pytest.fixture
def server(db, transactional_db, valkey):
    running = Server()
    wait_for(running.answers, seconds=180, what="the server")
    yield running
    running.kill()


@pytest.fixture
def page(server, chromium, client_of, bob, project):
    """Bob's rating page, behind a network that cannot be trusted (`page.network`)."""
    network = ChaosProxy(server.port, seed=7)
    context = chromium.new_context(base_url=network.url)
    session = client_of(bob).cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": network.url}])
    page = context.new_page()
    page.set_default_timeout(120_000)  # a server that was killed takes its time to come up
    page.network, page.errors = network, []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())  # leave, with judgments unsent
    page.goto(f"/p/{project.slug}/rate/")
    yield page
    context.close()
    network.stop()


def _rate(page, server, count: int, *, kills: int, outages: int, reloads: int) -> dict[int, str]:
    """Judge `count` tasks by key, with what goes wrong spread evenly over them; {task: key}."""
    draw = random.Random(11)
    trouble = Counter({"kill": kills, "outage": outages, "reload": reloads})
    events = dict(zip(draw.sample(range(3, count - 3), trouble.total()), sorted(trouble.elements())))
    said: dict[int, str] = {}
    for number in range(count):
        page.wait_for_function(READY)
        task = task_of(page)
        assert task not in said, "a judged task was asked again"
        said[task] = draw.choice("abtn")
        if events.get(number) == "kill":
            server.kill()
        page.network.is_down = events.get(number) in ("outage", "reload")
        page.keyboard.press(said[task])
        if page.network.is_down:
            page.get_by_text("waiting, will be sent").wait_for()
            page.network.is_down = False
        if events.get(number) == "kill":
            server.start()
        if events.get(number) == "reload":
            _reload(page)
    return said


def _reload(page) -> None:
    """As a person does: again and again, while the server that was killed a task ago is still coming up."""

    def is_back() -> bool:
        try:
            page.reload()
        except Error as error:
            # The second where Chromium is about to show the error of the try before.
            if "net::ERR_" not in error.message and "Not attached to an active page" not in error.message:
                raise
            page.wait_for_load_state()
            return False
        return True

    wait_for(is_back, seconds=180, what="the page to come back")


def _check(page, project, said: dict[int, str]) -> None:
    page.wait_for_function("() => document.getElementById('rate-state').textContent === 'Saved'")
    page.get_by_text("Nothing is left for you to rate.").wait_for()
    page.network.deliver_all()
    made = judgments(project)
    assert len(made) == len(said) == len({one.task_id for one in made})
    assert all(one.counted and not one.withdrawn for one in made)
    tiers = {"a": [0, 1], "b": [1, 0], "t": [0, 0], "n": [0, 0]}
    for one in made:
        items = sorted(one.items.all(), key=lambda item: item.position)
        assert [item.tier for item in items] == tiers[said[one.task_id]], "the judgment is another one"
        assert one.none_acceptable == (said[one.task_id] == "n")
    assert tallies_check(project=project) == []
    assert page.errors == []
    assert page.network.done.keys() == {*ChaosProxy.WEIGHTS, "late"}, "the network was too kind"


def test_sixty_judgments_survive_kills_outages_and_a_reload(tasks, server, page, project):
    tasks(60)
    page.reload()
    _check(page, project, _rate(page, server, 60, kills=2, outages=1, reloads=1))
    assert server.starts == 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_hundred_judgments_survive_it_again_and_again(tasks, server, page, project):
    tasks(500)
    page.reload()
    _check(page, project, _rate(page, server, 500, kills=10, outages=8, reloads=8))
    assert server.starts == 11
