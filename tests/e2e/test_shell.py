"""What every page brings along: theme, keys, toasts, menus, charts, live sockets; in a real browser."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
RATINGS = {
    "rows": [
        {"name": "child", "rating": 1041.26, "lower": 1020.5, "upper": 1062.0, "votes": 120},
        {"name": "=parent, v2", "rating": 958.74, "lower": 938.0, "upper": 979.5, "votes": 120},
    ]
}
DRAW = """async ({ kind, data }) => {
  const { renderChart } = await import("/static/js/chart.js");
  const figure = document.createElement("figure");
  figure.className = "chart";
  figure.innerHTML = '<div class="chart-head"><figcaption><strong>Ratings</strong></figcaption>'
    + '<div class="chart-tools"></div></div><div class="chart-canvas" role="img" aria-label="Ratings"></div>';
  document.querySelector("main").append(figure);
  globalThis.chart = renderChart(figure, kind, data);
  await globalThis.chart.ready;
}"""


@pytest.fixture
def context(browser, live_server, alice, client_of):
    """Alice's browser, signed in; what its console has to complain about fails the test."""
    context = browser.new_context(color_scheme="light", accept_downloads=True, reduced_motion="reduce")
    session = client_of(alice).cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    complaints = []
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.route("**/asked-by-nobody", lambda route: route.abort())  # so that no request is sent past a later route
    context.set_default_timeout(60_000)
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(context, live_server, project):
    page = context.new_page()
    page.goto(f"{live_server.url}/p/{project.slug}/")
    page.wait_for_function("document.documentElement.dataset.keys")
    return page


def _button(page, attributes: str) -> None:
    """A button that counts its presses in its own title."""
    page.evaluate(
        """(attributes) => {
          document.querySelector("main").insertAdjacentHTML("beforeend",
            `<button type="button" id="counted" ${attributes}>Better</button><input aria-label="Comment">`);
          const button = document.getElementById("counted");
          button.addEventListener("click", () => { button.title += "x"; });
        }""",
        attributes,
    )


def _pressed(page) -> int:
    return len(page.locator("#counted").get_attribute("title") or "")


def test_theme_is_chosen_kept_and_given_back_to_the_system(page):
    root, toggle = page.locator("html"), page.locator("[data-theme-toggle]")
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    toggle.click()
    expect(root).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(root).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
    toggle.click()
    expect(root).to_have_attribute("data-theme", "light")
    toggle.click()
    assert root.get_attribute("data-theme") is None
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(light) => getComputedStyle(document.documentElement).backgroundColor !== light", arg=light)


def test_a_key_presses_its_button_but_not_while_one_types(page):
    _button(page, 'data-key="a ArrowLeft"')
    page.keyboard.press("a")
    page.keyboard.press("ArrowLeft")
    assert _pressed(page) == 2
    page.keyboard.press("Control+a")
    page.get_by_label("Comment").press("a")
    assert page.get_by_label("Comment").input_value() == "a"
    assert _pressed(page) == 2


def test_the_overlay_lists_the_keys_and_switches_them_off(page):
    _button(page, 'data-key="a" data-key-label="A is better"')
    page.keyboard.press("?")
    overlay = page.get_by_role("dialog", name="Keys on this page")
    expect(overlay).to_contain_text("A is better")
    page.keyboard.press("a")
    assert _pressed(page) == 0, "a key acted behind the overlay"
    overlay.get_by_label("Single keys act").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    assert _pressed(page) == 0
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-keys", "off")


def test_a_toast_from_the_server_can_be_undone_by_key(page):
    asked = []
    page.route("**/undo-it/", lambda route: (asked.append(route.request), route.fulfill(body="")))
    said = {"message": "Vote saved.", "level": "success", "undo_url": "/undo-it/"}
    page.evaluate("(said) => window.htmx.trigger(document.body, 'toast', said)", said)
    expect(page.locator(".toast")).to_contain_text("Vote saved.")
    with page.expect_response("**/undo-it/"):
        page.keyboard.press("u")
    expect(page.locator(".toast")).to_have_count(0)
    assert [request.method for request in asked] == ["POST"]
    assert asked[0].headers["x-csrftoken"]
    page.keyboard.press("u")
    assert len(asked) == 1, "the key outlived its toast"


def test_a_toast_shows_text_and_never_markup(page):
    page.evaluate("window.htmx.trigger(document.body, 'toast', { message: '<b>bold</b>' })")
    expect(page.locator(".toast-text")).to_have_text("<b>bold</b>")


def test_menus_close_on_escape_and_on_a_click_elsewhere(page):
    menu, summary = page.locator(".topbar-user"), page.locator(".topbar-user > summary")
    summary.click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
    summary.click()
    page.locator("h1").click()
    expect(menu).not_to_have_attribute("open", "")


def test_what_is_unfolded_stays_so_and_in_hand_while_its_piece_of_page_comes_anew(page):
    fold = "<details><summary>{}</summary><p>{}</p></details>"
    piece = (
        '<div id="piece">'
        + fold.format("Log", "{0}")
        + fold.format("Details", "{0}")
        + fold.format("Details", "other")
        + "</div>"
    )
    page.route("**/anew/", lambda route: route.fulfill(body=piece.format("new"), content_type="text/html"))
    page.evaluate("(html) => document.querySelector('main').insertAdjacentHTML('beforeend', html)", piece.format("old"))
    page.locator("#piece summary").nth(1).focus()
    page.keyboard.press("Enter")
    page.evaluate("window.htmx.ajax('GET', '/anew/', { target: '#piece', swap: 'outerHTML' })")
    expect(page.locator("#piece")).to_contain_text("new")
    expect(page.locator("#piece details").nth(1)).to_have_attribute("open", "")
    expect(page.locator("#piece details[open]")).to_have_count(1)
    expect(page.locator("#piece summary").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#piece details[open]")).to_have_count(0)


def test_a_chart_has_a_table_twin_a_csv_and_a_png(page):
    page.evaluate(DRAW, {"kind": "whiskers", "data": RATINGS})
    expect(page.locator(".chart canvas")).to_be_visible()
    page.get_by_role("button", name="Table", exact=True).click()
    expect(page.locator(".chart canvas")).to_be_hidden()
    cells = page.locator(".chart tbody tr").first.locator("th, td").all_inner_texts()
    assert cells == ["child", "1,041.3", "1,020.5", "1,062.0", "120"]
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[1] == "child,1041.26,1020.5,1062,120"
    assert lines[2].startswith('"\'=parent, v2",'), "a spreadsheet would run the name as a formula"
    page.get_by_role("button", name="Table", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_chart_follows_the_theme(page):
    page.evaluate(DRAW, {"kind": "whiskers", "data": RATINGS})
    light = page.evaluate("chart.png()")
    page.locator("[data-theme-toggle]").click()
    assert (dark := page.evaluate("chart.png()")) != light
    page.locator("[data-theme-toggle]").click()
    page.locator("[data-theme-toggle]").click()
    assert page.evaluate("chart.png()") == light
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(dark) => chart.png() === dark", arg=dark)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("lines", {"train": [[0, 0.7], [1, 0.6]], "validation": [[1, 0.65]]}),
        ("bars", {"groups": ["BLEU"], "series": [{"name": "base", "values": [{"value": 6, "lower": 5, "upper": 7}]}]}),
        ("heatmap", {"names": ["a", "b"], "values": [[None, 0.6], [0.4, None]], "votes": [[0, 10], [10, 0]]}),
    ],
)
def test_every_kind_is_drawn(page, kind, data):
    page.evaluate(DRAW, {"kind": kind, "data": data})
    blank = page.evaluate(
        """() => {
          const canvas = document.querySelector(".chart canvas");
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return pixels.every((value) => value === 0);
        }"""
    )
    assert not blank


def test_points_that_come_later_join_their_curve(page):
    page.evaluate(DRAW, {"kind": "lines", "data": {"train": [[0, 0.7], [1, 0.6]]}})
    page.evaluate("chart.append('train', [[1, 0.59], [2, 0.5]])")
    page.evaluate("chart.append('validation', [[2, 0.55]])")
    page.get_by_role("button", name="Table", exact=True).click()
    rows = [row.locator("th, td").all_inner_texts() for row in page.locator(".chart tbody tr").all()]
    assert rows == [["0", "0.7000", "–"], ["1", "0.5900", "–"], ["2", "0.5000", "0.5500"]]


def test_a_live_socket_comes_back_and_says_that_it_was_away(page):
    sockets = []

    def answer(socket):
        sockets.append(socket)
        socket.send(json.dumps({"type": "hello"}))

    page.route_web_socket(re.compile("/ws/anything/"), answer)
    page.evaluate(
        """async () => {
          const { connect } = await import("/static/js/live.js");
          const indicator = document.createElement("span");
          indicator.id = "indicator";
          document.querySelector("main").append(indicator);
          globalThis.told = [];
          globalThis.live = connect("/ws/anything/", {
            onMessage: (payload) => told.push(payload),
            onState: (state, detail) => state === "open" && told.push(detail),
            indicator,
          });
        }"""
    )
    expect(page.locator("#indicator")).to_have_text("Live")
    sockets[0].send(json.dumps({"type": "vote"}))
    sockets[0].close()
    expect(page.locator("#indicator")).to_have_text("Reconnecting…")
    expect(page.locator("#indicator")).to_have_text("Live")
    assert page.evaluate("told") == [{"again": False}, {"type": "vote"}, {"again": True}]
    sockets[1].close(code=4403)
    expect(page.locator("#indicator")).to_have_text("Not allowed to watch")
    assert len(sockets) == 2


def test_one_can_sign_in_without_any_script(browser, live_server, bob, project):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server.url}/p/{project.slug}/")
    page.get_by_label("Username").fill("bob")
    page.get_by_label("Password").fill("bob-password-1")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(project.name)
    page.locator(".topbar-user > summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to FeedbackHub")).to_be_visible()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("path", ["/sign-in/", "/nowhere/"])
def test_axe_finds_nothing(browser, live_server, path, theme, width):
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": 900})
    page.goto(live_server.url + path)
    assert [found["id"] for found in Axe().run(page).response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    page.close()
