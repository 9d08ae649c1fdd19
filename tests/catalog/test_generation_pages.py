"""The generation pages: ask, watch, stop, resume."""

import pytest

from feedbackhub.catalog.models import Generation
from feedbackhub.catalog.services import model_create, prompt_get_or_create

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(project, weights, stand_in, queue):
    for text in ("salt", "[once] dill"):
        prompt_get_or_create(project=project, prompt=text, split="test")
    return model_create(project=project, name="tiny", kind="local", base=str(weights))


def test_ask_watch_and_resume(model, client_of, alice, queue):
    browser = client_of(alice)
    page = browser.get("/p/kitchen/catalog/generations/").content.decode()
    assert "No model has been asked yet." in page
    answer = browser.post("/p/kitchen/catalog/generations/", {"models": [model.pk], "split": "test", "n": 1})
    url = f"/p/kitchen/catalog/generations/{Generation.objects.get().pk}/"
    assert answer.url == url
    assert "hx-get" in browser.get(url).content.decode(), "it asks again while it waits"
    queue()
    page = browser.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert "hx-get" not in page
    assert "The model does not fit into memory." in page
    assert "1 of 2 answers stored" in page
    assert "stand-in at work" in page
    assert browser.post(url + "resume/").url == url
    queue()
    assert "2 of 2 answers stored" in browser.get(url).content.decode()


def test_stop_and_what_cannot_be_stopped(model, client_of, alice, queue):
    browser = client_of(alice)
    browser.post("/p/kitchen/catalog/generations/", {"models": [model.pk], "limit": 1, "n": 1})
    url = f"/p/kitchen/catalog/generations/{Generation.objects.get().pk}/"
    browser.post(url + "stop/")
    queue()
    assert "was stopped" in browser.get(url).content.decode()
    assert "nothing to stop" in browser.post(url + "stop/", follow=True).content.decode()


def test_what_is_wrong_is_said_on_the_page(model, client_of, alice):
    browser = client_of(alice)
    page = browser.post("/p/kitchen/catalog/generations/", {"models": [model.pk], "split": "validation", "n": 1})
    assert "no prompt to answer in the validation split" in page.content.decode()
    for number in ("9" * 30, str(2**63), str(model.pk + 1)):
        page = browser.post("/p/kitchen/catalog/generations/", {"models": [model.pk, number], "n": 1})
        assert f"{number} is not one of the available choices" in page.content.decode()
    assert not Generation.objects.exists()


def test_only_an_admin_asks(model, client_of, bob, dave, eve):
    for person, status in [(bob, 403), (dave, 403), (eve, 404)]:
        assert client_of(person).get("/p/kitchen/catalog/generations/").status_code == status
    assert client_of(dave).get("/p/kitchen/catalog/generations/999999/").status_code == 403
