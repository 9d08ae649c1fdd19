"""The leaderboard in a real browser in front of a real server: it follows votes, options live in the address."""

import json
import uuid

import pytest
from axe_playwright_python.sync_playwright import Axe
from live_site import Server, wait_for
from looks import fits
from playwright.sync_api import expect

from feedbackhub.leaderboard.selectors import board
from feedbackhub.rating.services import judgment_record, task_next

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(db, transactional_db, valkey, chromium, client_of, dave):
    """Dave's browser; what its console has to complain about fails the test."""
    server = Server()
    wait_for(server.answers, seconds=180, what="the server")
    url = f"http://127.0.0.1:{server.port}"
    context = chromium.new_context(base_url=url, reduced_motion="reduce", accept_downloads=True)
    session = client_of(dave).cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
    complaints = []
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()
    server.kill()
    assert complaints == []


def judge(project, rater, winner: str) -> None:
    lease = task_next(project=project, rater=rater)
    shown = [output.pk for output in lease.outputs]
    order = sorted(lease.outputs, key=lambda output: output.model.name != winner)
    ranking = [[output.pk] for output in order]
    payload = {"key": str(uuid.uuid4()), "ranking": ranking, "shown": shown, "duration_ms": 900}
    judgment_record(rater=rater, task=lease.task, payload=payload)


def test_an_open_board_follows_the_votes_and_its_options_live_in_the_address(tasks, page, bob, project, tmp_path):
    tasks(8)
    for winner in ("red", "blue", "red", "red", "blue"):
        judge(project, bob, winner)
    page.goto(f"/p/{project.slug}/leaderboard/")
    expect(page.locator("#board-live")).to_have_text("Live")
    expect(page.locator("[data-board-votes]")).to_contain_text("5 votes")
    page.get_by_role("heading", name="What the ratings do not explain").wait_for()
    judge(project, bob, "red")
    expect(page.locator("[data-board-votes]")).to_contain_text("6 votes")

    page.get_by_label("Control").select_option("style")
    page.get_by_text("More ways to look").click()
    page.get_by_label("Stands at 1000").select_option("blue")
    page.get_by_label("What goes together").select_option("prompt")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/leaderboard/?*")
    assert set(page.url.split("?")[1].split("&")) == {"control=style", "anchor=blue", "cluster=prompt"}
    expect(page.locator("#board")).to_contain_text("blue stands at 1000")
    page.get_by_role("link", name="Default board").click()

    page.get_by_role("heading", name="What the ratings do not explain").wait_for()
    for title in ("Ratings", "Win rates", "Votes", "Over time"):
        figure = page.locator("figure.chart", has=page.locator(f"figcaption strong:text-is('{title}')"))
        figure.locator("canvas").first.wait_for()
        with page.expect_download() as download:
            figure.get_by_role("button", name="JSON").click()
        download.value.save_as(tmp_path / "chart.json")
        assert json.loads((tmp_path / "chart.json").read_text())["title"] == title
        figure.get_by_role("button", name="Table").click()
        figure.locator("table").wait_for()
    assert Axe().run(page).response["violations"] == []
    page.set_viewport_size({"width": 390, "height": 844})
    fits(page, 390)
    assert board(project=project)["votes"] == 6
