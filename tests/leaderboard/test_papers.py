"""Reports as PDFs: the page's words and figures as text, its charts as vectors, whatever a model wrote."""

import io

import pytest
from django.test import Client
from pypdf import PdfReader

from feedbackhub.leaderboard.sharing import share_create

pytestmark = pytest.mark.django_db
AB = "/p/kitchen/leaderboard/ab/?a=child&b=parent"


def read(answer):
    """(the document, its text in one line)"""
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/pdf"
    document = PdfReader(io.BytesIO(answer.content))
    text = " ".join(" ".join(page.extract_text() for page in document.pages).split())
    return document, text


def drawn(document):
    """How many rectangles and lines its pages draw."""
    found = b"".join(page.get_contents().get_data() for page in document.pages).split()
    return found.count(b"re") + found.count(b"l")


def test_an_ab_report_on_paper_says_what_its_page_says(
    project, models, answered, said, measured, vote, client_of, dave
):
    with vote.together():
        for number in range(40):
            vote("child", "parent", "b" if number % 5 == 0 else "a", category="tea" if number % 2 else "soup")
    one = answered("What is “tea”?\x07\u202e 茶茶", ("Tea is <b>hot</b>.\x01 ½ ≈ 0.5", ""))
    for _ in range(2):
        said(one, "a", comment="clear: è")
    measured({"child": [60.0] * 25, "parent": [40.0] * 25})
    document, text = read(client_of(dave).get(AB + "&as=pdf"))
    for words in (
        "child against parent", "child is better than parent.", "34 : 8", "By category", "soup", "tea",
        "Votes still needed", "ROUGE-1", "60.00 [60.00, 60.00]", "What is “tea”? □", "Tea is <b>hot</b>. ½ ≈ 0.5",
        "“clear: è”", "Kitchen",
    ):  # fmt: skip
        assert words in text, words
    assert "\x07" not in text
    assert document.metadata.title == "child against parent"
    assert {"By category", "Automatic metrics"} <= {entry.title for entry in document.outline}
    assert not any(page.images for page in document.pages), "charts are no pictures"
    assert drawn(document) > 60
    only_tea = read(client_of(dave).get(AB + "&category=tea&as=pdf"))[1]
    assert "Only votes of the category tea." in only_tea


def test_an_ab_without_votes_says_what_to_do(models, client_of, dave):
    _document, text = read(client_of(dave).get(AB + "&as=pdf"))
    assert "no prompt in common" in text
    assert "To tell a win rate of 60 % from one half takes about" in text
    assert "Sign test" not in text


def test_a_long_board_goes_on_over_the_next_page(vote, client_of, dave):
    with vote.together():
        for number in range(70):
            vote(f"model-{number:02}", f"model-{(number + 1) % 70:02}", "a")
    document, text = read(client_of(dave).get("/p/kitchen/leaderboard/?as=pdf"))
    assert len(document.pages) > 3
    assert all(text.count(f"model-{number:02}") >= 2 for number in range(70)), "in the chart and in the table"
    assert "70 votes between 70 models." in text
    assert text.count("Rank Model Rating") > 1, "the table's head is on every page"


def test_the_board_says_what_limits_it(vote, client_of, dave):
    for _ in range(3):
        vote("red", "blue")
        vote("blue", "red")
    vote("green", "grey")
    document, text = read(client_of(dave).get("/p/kitchen/leaderboard/?as=pdf&control=length"))
    assert "unconnected" in text or "lengths" in text
    _document, text = read(client_of(dave).get("/p/kitchen/leaderboard/?as=pdf"))
    assert "2 groups that no vote connects" in text
    assert "Win rates" in text


def test_models_side_by_side_on_paper(models, measured, client_of, dave):
    measured({"child": [60.0] * 25, "parent": [40.0] * 25})
    document, text = read(client_of(dave).get("/p/kitchen/leaderboard/compare/?model=child&model=parent&as=pdf"))
    assert "ROUGE-1 60.00 [60.00, 60.00] 40.00 [40.00, 40.00]" in text
    assert drawn(document) > 20


def test_papers_are_for_those_who_may_read_the_page(models, client_of, bob):
    assert client_of(bob).get(AB + "&as=pdf").status_code == 403


def test_a_shared_report_can_be_kept_without_more_than_the_link_shows(project, models, answered, said, alice):
    one = answered("secret prompt", ("secret answer", "another"))
    said(one, "a")
    child, parent = models
    _link, token = share_create(project=project, by=alice, kind="ab", days=7, a=child, b=parent)
    answer = Client().get(f"/shared/{token}/?as=pdf")
    _document, text = read(answer)
    assert "child" in text
    assert "secret" not in text
    assert answer["Cache-Control"] == "no-store"
    _link, token = share_create(project=project, by=alice, kind="board", days=7)
    assert "Leaderboard" in read(Client().get(f"/shared/{token}/?as=pdf"))[1]


def test_a_paper_is_in_the_readers_language(models, vote, client_of, dave):
    vote("child", "parent")
    browser = client_of(dave)
    _document, text = read(browser.get(AB + "&as=pdf", headers={"Accept-Language": "de"}))
    assert "Noch nicht genug Stimmen" in text
