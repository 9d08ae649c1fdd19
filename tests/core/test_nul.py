"""A NUL in what a request asks for: PostgreSQL knows no such character, to SQLite it is an unknown name."""

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("page", ["leaderboard/", "leaderboard/beside/"])
def test_a_page_says_so(project, client_of, dave, page):
    answer = client_of(dave).get(f"/p/kitchen/{page}", {"category": "a\x00b"})
    assert answer.status_code == 400
    assert (b"NUL (U+0000)" in answer.content) == (connection.vendor == "postgresql")


def test_the_api_says_so(project, api_of, dave):
    answer = api_of(dave).get("/api/v1/projects/kitchen/leaderboard/", {"category": "a\x00b"})
    assert answer.status_code == 400
    assert ("NUL (U+0000)" in answer.json().get("detail", "")) == (connection.vendor == "postgresql")
