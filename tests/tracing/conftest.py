"""A local server that speaks LangSmith's wire format to the real client and keeps what it was told."""

import json
import re
import uuid
from datetime import UTC, datetime

import pytest
from werkzeug import Request, Response

from feedbackhub.tracing.feedback import FeedbackRun


class LangSmith:
    """Records every request; `refuse` maps "METHOD /path" to a list of statuses to answer first."""

    def __init__(self, server):
        self.requests: list[tuple[str, str, dict]] = []
        self.runs: dict[str, dict] = {}
        self.feedback: dict[str, dict] = {}
        self.refuse: dict[str, list[int]] = {}
        self.session_id = str(uuid.uuid4())
        server.expect_request(re.compile("^/.*")).respond_with_handler(self.answer)
        self.url = server.url_for("").rstrip("/")

    def answer(self, request: Request) -> Response:
        body = json.loads(request.get_data() or "{}") if request.method in ("POST", "PATCH") else {}
        self.requests.append((request.method, request.path, body))
        for route, statuses in self.refuse.items():
            method, path = route.split(" ")
            if request.method == method and request.path.startswith(path) and statuses:
                return Response("{}", status=statuses.pop(0), content_type="application/json")
        return self._route(request, body)

    def _route(self, request: Request, body: dict) -> Response:
        def reply(payload: dict, status: int = 200) -> Response:
            return Response(json.dumps(payload), status=status, content_type="application/json")

        if request.path == "/info":
            return reply({"version": "0.13.0", "batch_ingest_config": {"use_multipart_endpoint": True}})
        if request.path == "/sessions":
            now = datetime.now(UTC).isoformat()
            session = {"id": self.session_id, "name": body["name"], "start_time": now, "reference_dataset_id": None}
            return reply({**session, "tenant_id": str(uuid.uuid4())})
        if request.path == "/runs":
            self.runs[body["id"]] = body
            return reply({}, 202)
        if request.path == "/feedback":
            if body["run_id"] not in self.runs:
                return reply({"detail": "run not found"}, 404)
            if body["id"] in self.feedback:
                return reply({"detail": "exists"}, 409)
            self.feedback[body["id"]] = body
            return reply(body)
        if request.path.startswith("/feedback/") and request.method == "PATCH":
            known = self.feedback.get(request.path.rsplit("/", 1)[1])
            if known is None:
                return reply({"detail": "no such feedback"}, 404)
            known.update(body)
            return reply(known)
        return reply({"detail": f"{request.method} {request.path} is not spoken here"}, 501)


@pytest.fixture
def langsmith(httpserver, settings):
    settings.LANGSMITH_API_KEY = "lsv2_test"
    server = LangSmith(httpserver)
    settings.LANGSMITH_ENDPOINT = server.url
    return server


@pytest.fixture
def traced_run():
    """traced_run(tier=0): an output that was judged."""

    def make(**said):
        now = datetime.now(UTC)
        return FeedbackRun(
            run_uuid=uuid.uuid4(),
            name="smol",
            inputs={"messages": [{"role": "user", "content": "Hello?"}]},
            outputs={"text": "Hello!"},
            start_time=now,
            end_time=now,
            **said,
        )

    return make
