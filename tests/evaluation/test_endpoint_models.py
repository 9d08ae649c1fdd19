"""Models at an OpenAI-compatible endpoint: answers and suites of text by the real client; other suites are refused."""

import json

import pytest
from werkzeug import Request, Response

from feedbackhub.catalog.generations import base_spec, generation_create
from feedbackhub.catalog.models import Output
from feedbackhub.catalog.services import model_create, prompt_get_or_create
from feedbackhub.core.errors import DomainError
from feedbackhub.evaluation import failures
from feedbackhub.evaluation.services import evaluation_create
from feedbackhub.evaluation.suites import suite_save
from feedbackhub.runs.child import key_for

pytestmark = pytest.mark.django_db(transaction=True)
CHOICE = {"output_type": "multiple_choice", "doc_to_text": "q", "doc_to_target": "0", "doc_to_choice": ["a", "b"]}
WRITTEN = {"output_type": "generate_until", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}"}


@pytest.fixture
def asked(httpserver):
    """What a stand-in for somebody's server was asked; it says each prompt back, without dogs."""
    seen = []

    def answer(request: Request) -> Response:
        body = request.get_json()
        seen.append({"key": request.headers.get("Authorization"), **body})
        if "prompt" in body:
            choice = {"text": "Rome", "finish_reason": "stop"}
        else:
            said = body["messages"][-1]["content"].replace("dog", "cat")
            choice = {"message": {"content": said}, "finish_reason": "stop"}
        return Response(json.dumps({"choices": [choice]}))

    for path in ("/v1/chat/completions", "/v1/completions"):
        httpserver.expect_request(path, method="POST").respond_with_handler(answer)
    return seen


@pytest.fixture
def remote(project, httpserver, settings, tmp_path):
    settings.RUNS_DIR = tmp_path / "runs"
    settings.OPENAI_BASE_URL = httpserver.url_for("/v1")
    settings.OPENAI_API_KEY = "sk-ours"
    return model_create(
        project=project, name="remote", kind="openai", base="gpt-x", endpoint=httpserver.url_for("/v1/")
    )


def test_an_endpoint_answers_prompts_and_is_measured_by_its_texts(project, remote, asked, queue):
    prompt_get_or_create(project=project, prompt="a dog barks", split="test", references=["a cat barks"])
    generation_create(project=project, models=[remote], split="test")
    rules = {"rules": [{"kind": "not_contains", "texts": ["dog"]}, {"kind": "length", "max": 3}]}
    suite_save(project=project, name="pets", definition=rules, items=[{"prompt": "a dog"}, {"prompt": "a b c d"}])
    suite_save(project=project, name="capitals", definition=WRITTEN, items=[{"q": "Italy?", "a": "Rome"}])
    ruled = evaluation_create(project=project, models=[remote], suite="pets")
    written = evaluation_create(project=project, models=[remote], suite="capitals")
    queue()
    assert Output.objects.get(model=remote).text == "a cat barks"
    assert {one["key"] for one in asked} == {"Bearer sk-ours"}
    assert {row.metric: row.value for row in ruled.results.all()} == {
        "passed": 50,
        "rule:not_contains": 100,
        "rule:length": 50,
    }
    assert written.results.get(metric="exact_match").value == 100
    overlap = evaluation_create(project=project, models=[remote], suite="answer-match")
    queue()
    assert overlap.results.get(metric="exact_match").value == 100
    analysis = failures.analysis(failures.part_of(ruled, remote.pk))
    assert [group.name for group in analysis.rules] == ["length"]


def test_what_takes_likelihoods_is_refused_in_words(project, remote):
    prompt_get_or_create(project=project, prompt="salt", split="test", references=["sodium"])
    suite_save(project=project, name="choice", definition=CHOICE, items=[{"x": 1}])
    for suite in ("perplexity", "forgetting", "choice"):
        with pytest.raises(DomainError, match="its weights are not here, and it tells no likelihoods"):
            evaluation_create(project=project, models=[remote], suite=suite)
    judge = model_create(
        project=project, name="judge", kind="openai", base="x", endpoint="https://api.example/v1", role="reward"
    )
    with pytest.raises(DomainError, match="likelihoods"):
        generation_create(project=project, models=[judge])


def test_the_key_goes_to_the_operators_endpoint_alone(project, remote, settings, tmp_path):
    stranger = model_create(project=project, name="x", kind="openai", base="x", endpoint="http://10.0.0.7:8000/v1")
    keys = []
    for model in (remote, stranger):
        (tmp_path / "run.json").write_text(json.dumps({"base": base_spec(model)}))
        keys.append(key_for(tmp_path))
    assert keys == [{"OPENAI_API_KEY": "sk-ours"}, {}]
    assert base_spec(remote)["private"]
    assert "private" not in base_spec(stranger)
    settings.ENDPOINT_HOSTS_ALLOWED = ["10.0.0.7:8000"]
    assert base_spec(stranger)["private"]


CODE = {**WRITTEN, "task": "mbpp", "unsafe_code": True, "metric_list": [{"metric": "pass_at_1"}]}


def test_code_is_run_only_where_the_operator_says_so(project, remote, settings, stand_in, queue):
    def save():
        return suite_save(project=project, name="code", definition=CODE, items=[{"q": "Add.", "a": "assert True"}])

    with pytest.raises(DomainError, match="the sandbox, which is off on this site"):
        save()
    settings.CODE_SANDBOX = True
    assert save().is_code
    evaluation = evaluation_create(project=project, models=[remote], suite="code")
    assert evaluation.parts.get().run.spec["settings"] == {"suite": "task"}
    settings.CODE_SANDBOX = False
    with pytest.raises(DomainError, match="CODE_SANDBOX"):
        evaluation_create(project=project, models=[remote], suite="code")
