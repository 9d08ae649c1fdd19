"""Shared links: one report for whoever has the address, no more than that, until it ends; all of it written down."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from feedbackhub.catalog.services import model_by_name
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.leaderboard.models import ShareEvent, ShareLink
from feedbackhub.leaderboard.sharing import share_create, share_open, share_revoke
from feedbackhub.projects.services import project_create

pytestmark = pytest.mark.django_db


@pytest.fixture
def votes(vote):
    for winner in ("a", "a", "b", "tie"):
        vote("red", "blue", winner, category="tea")


@pytest.fixture
def models(project, votes):
    return [model_by_name(project=project, name=name) for name in ("red", "blue")]


def test_a_bearer_without_an_account_reads_that_report_and_nothing_else(project, models, alice):
    link, token = share_create(project=project, by=alice, kind="ab", days=7, a=models[0], b=models[1])
    anyone = Client()
    answer = anyone.get(f"/shared/{token}/")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "red against blue" in text
    assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "noindex" in answer["X-Robots-Tag"]
    assert "/p/kitchen/" not in text, "it leads nowhere"
    assert "sessionid" not in answer.cookies
    for page in ("", "ab/?a=red&b=blue", "shares/"):
        assert anyone.get(f"/p/kitchen/leaderboard/{page}").status_code == 302
    answer = anyone.get("/api/v1/projects/kitchen/leaderboard/", headers={"Authorization": f"Token {token}"})
    assert answer.status_code == 401
    assert anyone.post(f"/shared/{token}/").status_code == 405
    assert anyone.get(f"/shared/{token}/?a=other&as=json").content.decode().count("red against blue") > 0


def test_the_board_can_be_shared(project, votes, alice):
    _link, token = share_create(project=project, by=alice, kind="board", days=7, category="tea")
    text = Client().get(f"/shared/{token}/").content.decode()
    assert "Leaderboard: tea" in text
    assert "4 votes between 2 models." in text
    assert "/p/kitchen/" not in text


def test_only_the_digest_of_the_token_is_kept(project, models, alice):
    link, token = share_create(project=project, by=alice, kind="board", days=7)
    assert token not in str(ShareLink.objects.values().get())
    assert link.digest == ShareLink.digest_of(token)
    with pytest.raises(NotFound):
        share_open(token=link.digest)


def test_a_link_ends_when_it_expires_or_is_taken_back(project, models, alice):
    link, token = share_create(project=project, by=alice, kind="board", days=7)
    other, other_token = share_create(project=project, by=alice, kind="board", days=7)
    share_revoke(link=link, by=alice)
    share_revoke(link=link, by=alice)
    ShareLink.objects.filter(pk=other.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    for one in (token, other_token, "x" * 43):
        answer = Client().get(f"/shared/{one}/")
        assert answer.status_code == 404
        assert "has expired or was taken back" in answer.content.decode(), "who guesses learns nothing"
        assert "Kitchen" not in answer.content.decode()
    log = list(ShareEvent.objects.filter(link=link).order_by("pk").values_list("action", "by__username"))
    assert log == [("created", "alice"), ("revoked", "alice"), ("refused", None)]


def test_every_opening_is_written_down(project, models, alice, client_of):
    link, token = share_create(project=project, by=alice, kind="board", days=7, note="for the board")
    for _ in range(2):
        Client().get(f"/shared/{token}/", headers={"User-Agent": "Lynx/2.9"})
    assert ShareEvent.objects.filter(link=link, action="opened", agent="Lynx/2.9").count() == 2
    text = client_of(alice).get("/p/kitchen/leaderboard/shares/").content.decode()
    assert "for the board" in text
    assert "Lynx/2.9" in text


def test_an_admin_makes_and_takes_back_a_link_on_the_page(project, models, alice, dave, client_of):
    browser = client_of(alice)
    page = browser.get("/p/kitchen/leaderboard/shares/?kind=ab&a=red&b=blue").content.decode()
    assert '<option value="red" selected>' in page
    given = {"kind": "ab", "a": "red", "b": "blue", "days": "7", "category": "", "note": "Ann"}
    answer = browser.post("/p/kitchen/leaderboard/shares/", given)
    link = ShareLink.objects.get()
    address = answer.content.decode().split('value="http://testserver')[1].split('"')[0]
    assert Client().get(address).status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert address not in browser.get("/p/kitchen/leaderboard/shares/").content.decode(), "it is shown once"
    wrong = browser.post("/p/kitchen/leaderboard/shares/", {**given, "b": "red"})
    assert wrong.status_code == 400
    assert "Name two different models." in wrong.content.decode()
    assert client_of(dave).get("/p/kitchen/leaderboard/shares/").status_code == 403
    assert client_of(dave).post(f"/p/kitchen/leaderboard/shares/{link.pk}/revoke/").status_code == 403
    assert browser.post(f"/p/kitchen/leaderboard/shares/{link.pk}/revoke/").status_code == 302
    assert Client().get(address).status_code == 404


def test_a_link_of_another_project_cannot_be_taken_back_from_here(project, models, root, alice, client_of):
    other = project_create(by=root, slug="garden", name="Garden")
    link, _token = share_create(project=other, by=root, kind="board", days=7)
    assert client_of(alice).post(f"/p/kitchen/leaderboard/shares/{link.pk}/revoke/").status_code == 404
    link.refresh_from_db()
    assert link.revoked_at is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"kind": "all"}, "kind"), ({"days": 0}, "days"), ({"days": 366}, "days"), ({"kind": "ab"}, "b")]
    + [({"category": "coffee"}, "category"), ({"method": "gossip"}, "method")],
)
def test_what_is_wrong_is_named(project, votes, alice, wrong, field):
    with pytest.raises(DomainError) as refused:
        share_create(project=project, by=alice, **{"kind": "board", "days": 7, **wrong})
    assert field in refused.value.fields


def test_a_model_of_another_project_is_not_shared(project, models, root, alice):
    other = project_create(by=root, slug="garden", name="Garden")
    with pytest.raises(DomainError) as refused:
        share_create(project=other, by=root, kind="ab", days=7, a=models[0], b=models[1])
    assert "a" in refused.value.fields


def test_programs_share_and_take_back_too(project, models, api_of, alice, bob):
    admin, url = api_of(alice), "/api/v1/projects/kitchen/shares/"
    asked = {"kind": "ab", "a": "red", "b": "blue", "days": 3, "note": "for the board"}
    assert api_of(bob).post(url, asked, format="json").status_code == 403
    wrong = admin.post(url, {**asked, "days": 0, "b": "red"}, format="json")
    assert (wrong.status_code, sorted(wrong.json()["fields"])) == (400, ["b", "days"])
    assert admin.post(url, {**asked, "for": "ever"}, format="json").json()["fields"].keys() == {"for"}

    made = admin.post(url, asked, format="json")
    assert made.status_code == 201
    address = made.json()["url"].removeprefix("http://testserver")
    assert "red against blue" in Client().get(address).content.decode()
    (listed,) = admin.get(url).json()["results"]
    assert (listed["id"], listed["opened"], listed["note"]) == (made.json()["id"], 1, "for the board")
    assert "url" not in listed

    revoke = f"/api/v1/shares/{listed['id']}/revoke/"
    assert api_of(bob).post(revoke).status_code == 403
    assert admin.post(revoke).json()["revoked_at"]
    assert Client().get(address).status_code == 404
    assert admin.post("/api/v1/shares/999999/revoke/").status_code == 404


def test_an_ab_by_category_for_programs(project, votes, vote, api_of, alice):
    vote("red", "blue", "b", category="coffee")
    admin, url = api_of(alice), "/api/v1/projects/kitchen/ab/?a=red&b=blue"
    assert admin.get(url).json()["wins_b"] == 2
    assert admin.get(f"{url}&category=tea").json()["wins_b"] == 1
    refused = admin.get(f"{url}&category=cocoa")
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["category"])
