"""Live connections: a session with an Origin of our own or a token; nobody else."""

import json

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator

from feedbackhub.accounts.services import token_create
from feedbackhub.asgi import application
from feedbackhub.catalog.services import model_get_or_create_imported
from feedbackhub.chat.models import Chat
from feedbackhub.core.live import REFUSED, publish

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


class Socket:
    """The browser's end of a live connection."""

    def __init__(self, path: str, headers: dict[str, str]):
        fields = [(b"host", b"testserver"), *((name.encode(), value.encode()) for name, value in headers.items())]
        scope = {"type": "websocket", "path": path, "headers": fields, "query_string": b"", "subprotocols": []}
        self.app = ApplicationCommunicator(application, scope)

    async def greeting(self) -> dict | None:
        """The first message, or None when the connection was refused with 4403."""
        await self.app.send_input({"type": "websocket.connect"})
        assert (await self.app.receive_output(60))["type"] == "websocket.accept"
        answer = await self.app.receive_output(60)
        if answer["type"] == "websocket.close":
            assert answer["code"] == REFUSED
            return None
        return json.loads(answer["text"])

    async def message(self) -> dict:
        return json.loads((await self.app.receive_output(60))["text"])

    async def close(self) -> None:
        await self.app.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.app.wait(60)


async def session_of(client_of, user) -> str:
    browser = await sync_to_async(client_of)(user)
    return f"sessionid={browser.cookies['sessionid'].value}"


async def test_a_token_watches_and_hears_of_a_vote(valkey, project, dave):
    token = await sync_to_async(token_create)(user=dave)
    path = f"/ws/projects/{project.slug}/leaderboard/"
    socket = Socket(path, {"authorization": f"Token {token}"})
    assert await socket.greeting() == {"type": "hello"}
    await sync_to_async(publish)(f"leaderboard.{project.pk}", {"type": "vote"})
    assert await socket.message() == {"type": "vote"}
    await socket.close()


async def test_a_session_needs_an_origin_of_our_own(valkey, project, dave, client_of):
    path = f"/ws/projects/{project.slug}/leaderboard/"
    cookie = await session_of(client_of, dave)
    own = Socket(path, {"cookie": cookie, "origin": "http://testserver"})
    assert await own.greeting() == {"type": "hello"}
    await own.close()
    for headers in ({"cookie": cookie}, {"cookie": cookie, "origin": "http://evil.example"}):
        assert await Socket(path, headers).greeting() is None


@pytest.mark.parametrize("who", ["eve", "bob", "nobody"])
async def test_those_without_the_role_are_refused(valkey, project, bob, eve, who):
    headers = {}
    if who != "nobody":
        token = await sync_to_async(token_create)(user={"eve": eve, "bob": bob}[who])
        headers = {"authorization": f"Token {token}"}
    assert await Socket(f"/ws/projects/{project.slug}/leaderboard/", headers).greeting() is None


async def test_a_round_that_is_not_there_is_refused(valkey, project, dave):
    token = await sync_to_async(token_create)(user=dave)
    assert await Socket("/ws/rounds/999/", {"authorization": f"Token {token}"}).greeting() is None


async def test_a_chat_is_watched_by_admins(valkey, project, alice, dave):
    @sync_to_async
    def begun() -> Chat:
        left, right = (model_get_or_create_imported(project=project, name=name) for name in ("red", "blue"))
        return Chat.objects.create(project=project, left=left, right=right, created_by=alice)

    path = f"/ws/chats/{(await begun()).pk}/"
    for person, hears in ((alice, True), (dave, False)):
        token = await sync_to_async(token_create)(user=person)
        socket = Socket(path, {"authorization": f"Token {token}"})
        assert (await socket.greeting() == {"type": "hello"}) == hears
        if hears:
            await socket.close()
    token = await sync_to_async(token_create)(user=alice)
    assert await Socket("/ws/chats/99999/", {"authorization": f"Token {token}"}).greeting() is None
