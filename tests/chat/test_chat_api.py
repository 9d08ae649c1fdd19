"""Chats through the API: the same rules, the same names."""

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_chat_from_beginning_to_verdict(models, alice, bob, api_of, queue):
    api = api_of(alice)
    made = api.post("/api/v1/projects/kitchen/chats/", {"a": "child", "b": "parent"}, format="json")
    assert made.status_code == 201
    assert made.json()["models"] is None
    url = f"/api/v1/chats/{made.json()['id']}/"
    said = api.post(url + "turns/", {"message": "tea?", "max_new_tokens": 9}, format="json")
    assert said.status_code == 202
    assert said.json() == {"number": 1, "decoding": {"temperature": 0.7, "max_new_tokens": 9}}
    assert api.get(url).json()["waits_for"] == "queue"
    assert api.post(url + "turns/", {"message": "more"}, format="json").status_code == 409
    queue()
    shown = api.get(url).json()
    assert shown["waits_for"] == ""
    assert {side["text"] for side in shown["turns"][0]["sides"]} == {"TEA?", "?aet"}
    wrong = api.post(url + "turns/1/verdict/", {"prefer": "red"}, format="json")
    assert (wrong.status_code, list(wrong.json()["fields"])) == (400, ["prefer"])
    judged = api.post(url + "turns/1/verdict/", {"prefer": "left"}, format="json")
    assert judged.status_code == 201
    assert judged.json()["counted"]
    assert set(api.post(url + "reveal/").json()["models"].values()) == {"child", "parent"}
    assert api.get("/api/v1/projects/kitchen/chats/").json()["results"][0]["begins"] == "tea?"
    assert api_of(bob).get(url).status_code == 403
    assert api.post(url + "turns/9/verdict/", {"prefer": "left"}, format="json").status_code == 404
