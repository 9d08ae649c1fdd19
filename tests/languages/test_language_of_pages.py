"""Which language a page is in: the choice, else the browser's, else English. Programs are answered in English."""

import json

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

pytestmark = pytest.mark.django_db
GERMAN = {"HTTP_ACCEPT_LANGUAGE": "de-AT,de;q=0.9,en;q=0.5"}


@pytest.fixture
def board(project):
    """Two models with three votes between them."""
    from feedbackhub.catalog.services import model_get_or_create_imported
    from feedbackhub.rating.models import Judgment, PairTally

    red, blue = (model_get_or_create_imported(project=project, name=name) for name in ("red", "blue"))
    PairTally.objects.create(
        project=project, source=Judgment.Source.SIMULATED, model_a=red, model_b=blue, wins_a=2, wins_b=1
    )
    return f"/p/{project.slug}/leaderboard/"


@pytest.fixture
def round_page(project, alice):
    """A round that is half done."""
    from feedbackhub.catalog.models import ModelVersion
    from feedbackhub.rounds.models import PreferenceDataset, Round
    from feedbackhub.runs.models import Run

    base = ModelVersion.objects.create(project=project, name="base", kind="local", base="somewhere")
    counts = {"rows": 9, "train": 8, "validation": 1, "judgments": 12}
    dataset = PreferenceDataset.objects.create(project=project, kind="preference", counts=counts, created_by=alice)
    run = Run.objects.create(
        project=project, recipe="dpo", spec={}, state="running", phase="training", step=5, max_steps=10, progress=0.5
    )
    Round.objects.create(
        project=project, number=1, recipe="dpo", base_model=base, dataset=dataset, run=run, created_by=alice
    )
    return f"/p/{project.slug}/rounds/1/"


def choose(client: Client, language: str, then: str = "/") -> None:
    answer = client.post("/language/", {"language": language, "next": then})
    assert (answer.status_code, answer["Location"]) == (302, then)


def html_of(client: Client, path: str, **headers) -> str:
    answer = client.get(path, **headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_without_a_word_about_it_a_page_is_english(client):
    page = html_of(client, "/sign-in/")
    assert '<html lang="en" dir="ltr">' in page
    assert "Sign in to FeedbackHub" in page
    assert "/words/" not in page


def test_the_browsers_language_is_followed(client):
    page = html_of(client, "/sign-in/", **GERMAN)
    assert '<html lang="de" dir="ltr">' in page
    assert "Bei FeedbackHub anmelden" in page
    assert "Sign in" not in page


def test_a_language_that_is_not_there_falls_back(client):
    assert '<html lang="en"' in html_of(client, "/sign-in/", HTTP_ACCEPT_LANGUAGE="fr-FR")


def test_the_choice_beats_the_browser_and_is_kept(client_of, bob):
    browser = client_of(bob)
    choose(browser, "de")
    assert "Projekte" in html_of(browser, "/", HTTP_ACCEPT_LANGUAGE="en")
    assert browser.cookies["django_language"]["max-age"] == 60 * 60 * 24 * 365
    choose(browser, "en")
    assert "Projects" in html_of(browser, "/", **GERMAN)


def test_the_choice_leads_back_to_no_other_site(client):
    answer = client.post("/language/", {"language": "de", "next": "https://elsewhere.example/"})
    assert answer["Location"] == "/"


def test_the_sign_in_page_and_the_menu_offer_both_languages(client, client_of, bob):
    for page in (html_of(client, "/sign-in/"), html_of(client_of(bob), "/")):
        for language, name in (("en", "English"), ("de", "Deutsch")):
            assert f'value="{language}" lang="{language}"' in page
            assert f">{name}</button>" in page


def test_a_leaderboard_in_german_has_german_numbers_and_data_that_programs_can_read(client_of, dave, board):
    page = html_of(client_of(dave), board, **GERMAN)
    assert "<h1>Rangliste</h1>" in page
    assert "3 dieser Stimmen stammen von simulierten Ratern" in page
    assert "Siegquoten" in page
    assert ">1060,2<" in page
    data = page.split('<script id="ratings-data" type="application/json">')[1].split("</script>")[0]
    assert json.loads(data)["rows"][0]["rating"] == pytest.approx(1060.2, abs=0.1)


def test_a_round_by_choice_is_german_and_its_progress_is_still_a_number(client_of, alice, round_page):
    browser = client_of(alice)
    choose(browser, "de", round_page)
    page = html_of(browser, round_page, HTTP_ACCEPT_LANGUAGE="en")
    assert "Runde 1: DPO" in page
    assert "8 Zeilen aus 12 Urteilen" in page
    assert '<span data-run="phase">trainiert</span>' in page
    assert "Schritt 5 von 10" in page
    assert 'max="1" value="0.5"' in page


@pytest.mark.parametrize("form", ["json", "csv"])
def test_downloads_are_the_same_in_both_languages(client_of, dave, board, form):
    browser = client_of(dave)
    english, german = (browser.get(f"{board}?as={form}", **headers).content.decode() for headers in ({}, GERMAN))
    if form == "json":
        english, german = ({**json.loads(text), "as_of": None} for text in (english, german))
    assert english == german
    assert "1060.2" in str(german)


def test_the_api_is_english_whatever_the_header_and_the_cookie(api_of, alice, project, board):
    api = api_of(alice)
    api.cookies["django_language"] = "de"
    for method, path, body in (
        ("post", f"/api/v1/projects/{project.slug}/members/", {}),
        ("post", f"/api/v1/projects/{project.slug}/members/", {"username": "x" * 200, "role": "king"}),
        ("post", "/api/v1/tasks/999/skip/", {}),
        ("get", "/api/v1/projects/nowhere/agreement/", None),
        ("get", f"/api/v1/projects/{project.slug}/leaderboard/?method=guess", None),
        ("get", f"/api/v1/projects/{project.slug}/leaderboard/", None),
    ):
        english, german = (
            {**getattr(api, method)(path, body, format="json", **headers).json(), "as_of": None}
            for headers in ({}, GERMAN)
        )
        assert english == german, path
    answer = Client().get(f"/api/v1/projects/{project.slug}/leaderboard/", **GERMAN)
    assert answer.json()["detail"] == "Authentication credentials were not provided."


def test_a_refusal_is_said_in_the_pages_language(client_of, bob, project):
    answer = client_of(bob).get(f"/p/{project.slug}/leaderboard/", **GERMAN)
    assert answer.status_code == 403
    assert "Kein Zugriff" in answer.content.decode()


def test_a_failure_has_a_page_in_the_pages_language(rf):
    from django.utils import translation

    from feedbackhub.core.views import forbidden, server_error

    with translation.override("de"):
        assert "Bei uns ist etwas schiefgegangen" in server_error(rf.get("/")).content.decode()
        assert "Kein Zugriff" in forbidden(rf.get("/"), PermissionDenied()).content.decode()


def test_a_language_from_right_to_left_says_so(client, settings):
    settings.LANGUAGES = [*settings.LANGUAGES, ("he", "Hebrew")]
    assert '<html lang="he" dir="rtl">' in html_of(client, "/sign-in/", HTTP_ACCEPT_LANGUAGE="he")


def test_the_scripts_texts_are_an_ordinary_script_that_is_kept_for_good(client):
    page = html_of(client, "/sign-in/", **GERMAN)
    address = page.split('<script src="/words/')[1].split('"')[0]
    answer = client.get(f"/words/{address}")
    assert "Tasten auf dieser Seite" in answer.content.decode()
    assert answer["Content-Type"].startswith("text/javascript")
    assert "immutable" in answer["Cache-Control"]
    assert client.get("/words/fr.js").status_code == 404
