"""An OpenAI-compatible endpoint answers: the recipe generate, suites of text, tasks that are written, programs."""

import json
import threading

import pytest
from training_cast import events, failure, finished, rows_of, user
from werkzeug import Request, Response

from training.endpoint import is_public


@pytest.fixture
def server(httpserver):
    """A stand-in for somebody's server: answers by what it is asked, and remembers it."""
    asked, lock = [], threading.Lock()

    def answer(request: Request) -> Response:
        body = request.get_json()
        with lock:
            asked.append({**body, "authorization": request.headers.get("Authorization"), "path": request.path})
            number = len(asked)
        said = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        if "[busy]" in said and number == 1:
            return Response("{}", 429, {"Retry-After": "0"})
        if "[no]" in said:
            return Response(json.dumps({"error": {"message": "no such model"}}), 404)
        if "[new]" in said and "max_tokens" in body:
            return Response(json.dumps({"error": {"message": "use max_completion_tokens"}}), 400)
        if "[html]" in said:
            return Response("<html>", 200)
        if "[deep]" in said:
            return Response("[" * 100_000, 200 if "page" in said else 404)
        text = server_says(said, body)
        choice = {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
        return Response(
            json.dumps({"choices": [{**choice, "finish_reason": "stop"}], "usage": {"completion_tokens": 3}})
        )

    for path in ("/v1/chat/completions", "/v1/completions"):
        httpserver.expect_request(path, method="POST").respond_with_handler(answer)
    return httpserver, asked


def server_says(said: str, body: dict) -> str:
    if "def add" in said:  # right in two of three samples
        return "    return a + b\n" if body["seed"] % 3 else "    return a - b\n"
    if "capital" in said:
        return " the answer is #### Rome\nQ: what"
    return f"{said} indeed "


@pytest.fixture
def base(server):
    return {"endpoint": server[0].url_for("/v1"), "model": "gpt-x", "private": True}


def test_prompts_are_answered_once_and_the_key_is_sent(run_dir, server, base, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-ours")
    prompts = [{"id": n, "messages": [user(f"say {n}")]} for n in range(3)]
    settings = {"n": 2, "temperature": 0.7, "system": "Be brief.", "max_new_tokens": 9}
    folder = run_dir("generate", {"prompts": prompts}, settings, base=base)
    result = finished(folder)
    rows = rows_of(folder / "outputs.jsonl")
    assert [(row["id"], row["index"], row["text"]) for row in rows[:2]] == [
        (0, 0, "say 0 indeed"),
        (0, 1, "say 0 indeed"),
    ]
    assert (result["rows"], rows[0]["tokens"], rows[0]["finish_reason"]) == (6, 3, "stop")
    asked = server[1]
    assert asked[0]["authorization"] == "Bearer sk-ours"
    assert (asked[0]["model"], asked[0]["temperature"], asked[0]["max_tokens"]) == ("gpt-x", 0.7, 9)
    assert asked[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert len({one["seed"] for one in asked}) == 6
    (folder / "result.json").unlink()
    (folder / "outputs.jsonl").write_text("".join((folder / "outputs.jsonl").read_text().splitlines(keepends=True)[:5]))
    finished(folder)
    assert len(asked) == 7, "only what was missing is asked for again"


def test_a_busy_server_is_asked_again_and_a_new_one_by_its_own_words(run_dir, server, base):
    prompts = [{"id": 1, "messages": [user("[busy] hello")]}, {"id": 2, "messages": [user("[new] hello")]}]
    folder = run_dir("generate", {"prompts": prompts}, {"batch_size": 1}, base=base)
    finished(folder)
    assert [row["text"] for row in rows_of(folder / "outputs.jsonl")] == ["[busy] hello indeed", "[new] hello indeed"]
    assert server[1][-1]["max_completion_tokens"] == 256


def test_what_goes_wrong_is_told(run_dir, base):
    def said(text: str, name: str, **more) -> str:
        folder = run_dir("generate", {"prompts": [{"id": 1, "messages": [user(text)]}]}, name=name, base=base | more)
        kind, message = failure(folder)
        assert kind in ("endpoint", "bad_run")
        return message

    assert "answered 404: no such model. Check the model's name there" in said("[no]", "unknown")
    assert "answered no JSON" in said("[html]", "page")
    assert "answered no JSON" in said("[deep] page", "deep")
    assert "answered 404: [[[" in said("[deep]", "deep-error")
    assert "is not on the public internet" in said("hello", "inside", private=False)
    assert 'base needs "endpoint"' in said("hello", "odd", endpoint="ftp://x")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2606:4700::1111", True),
        ("fd00::1", False),
    ],
)
def test_an_address_inside_is_not_asked(address, public):
    assert is_public(address) == public


def test_the_answers_of_a_suite(run_dir, server, base):
    items = [{"id": "a#0", "messages": [user("salt")], "references": ["salt"]}]
    folder = run_dir("evaluate", {"items": items}, {"suite": "answers", "samples": 2, "temperature": 1.0}, base=base)
    result = finished(folder)
    assert result["reuse"] == {"asked": 2, "reused": 0}
    rows = rows_of(folder / "answers.jsonl")
    assert [(row["id"], row["index"], row["text"], row["reused"]) for row in rows] == [
        ("a#0", 0, "salt indeed", False),
        ("a#0", 1, "salt indeed", False),
    ]


TASK = {
    "output_type": "generate_until",
    "doc_to_text": "Q: {{question}}\nA:",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["Q:"], "max_gen_toks": 20},
    "filter_list": [
        {
            "name": "strict",
            "filter": [{"function": "regex", "regex_pattern": r"#### (\w+)"}, {"function": "take_first"}],
        },
        {"name": "loose", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
    ],
}


def test_a_task_that_is_written_runs_and_one_of_likelihoods_is_refused(run_dir, server, base):
    rows = [{"question": "the capital ?", "answer": "Rome"}]
    folder = run_dir("evaluate", {"task": [TASK], "rows": rows}, {"suite": "task", "resamples": 100}, base=base)
    found = finished(folder)["metrics"]
    assert (found["exact_match,strict"]["value"], found["exact_match,loose"]["value"]) == (100, 0)
    assert (server[1][0]["prompt"], server[1][0]["stop"]) == ("Q: the capital ?\nA:", ["Q:"])
    row = rows_of(folder / "scores.jsonl")[0]
    assert (row["passed"], row["taken"]) == (True, "Rome")
    choice = {"output_type": "multiple_choice", "doc_to_text": "q", "doc_to_target": 0, "doc_to_choice": ["a", "b"]}
    again = run_dir("evaluate", {"task": [choice], "rows": rows}, {"suite": "task"}, base=base, name="choice")
    assert failure(again) == ("no_likelihoods", failure(again)[1])
    assert "which an endpoint does not tell" in failure(again)[1]


HUMANEVAL = {
    "task": "humaneval",
    "unsafe_code": True,
    "output_type": "generate_until",
    "doc_to_text": "{{prompt}}",
    "doc_to_target": "{{test}}\ncheck({{entry_point}})",
    "metric_list": [{"metric": "!function utils.pass_at_k", "aggregation": "mean", "k": [1, 2]}],
    "generation_kwargs": {"until": ["\nclass", "\ndef"], "do_sample": True, "temperature": 0.8, "max_gen_toks": 64},
    "repeats": 6,
    "filter_list": [
        {"name": "create_test", "filter": [{"function": "custom", "filter_fn": "!function utils.build_predictions"}]}
    ],
}
MBPP = {
    "task": "mbpp",
    "unsafe_code": True,
    "output_type": "generate_until",
    "doc_to_text": "{{text}}\ndef add(a, b):\n[BEGIN]\n",
    "doc_to_target": "{% if is_fewshot is defined %}{{code}}{% else %}{{test_list | join('\n')}}{% endif %}",
    "target_delimiter": "",
    "metric_list": [{"metric": "!function utils.pass_at_1"}],
    "generation_kwargs": {"until": ["[DONE]"], "do_sample": False},
}


def test_programs_run_in_the_sandbox_and_pass_at_k_is_estimated(run_dir, server, base, monkeypatch):
    row = {
        "id": "HumanEval/0",
        "prompt": "def add(a, b):\n",
        "test": "def check(candidate):\n    assert candidate(2, 3) == 5",
        "entry_point": "add",
    }
    settings = {"suite": "task", "resamples": 100}
    off = run_dir("evaluate", {"task": [HUMANEVAL], "rows": [row]}, settings, base=base, name="off")
    monkeypatch.delenv("CODE_SANDBOX", raising=False)
    assert failure(off)[0] == "no_sandbox"
    assert server[1] == [], "nothing is asked for that cannot be judged"
    monkeypatch.setenv("CODE_SANDBOX", "on")
    folder = run_dir("evaluate", {"task": [HUMANEVAL], "rows": [row]}, settings, base=base)
    found = finished(folder)["metrics"]
    right = sum(one["seed"] % 3 > 0 for one in server[1])
    assert len(server[1]) == 6
    assert found["pass@1"]["value"] == pytest.approx(100 * right / 6)
    assert found["pass@2"]["value"] == pytest.approx(100 * (1 - (6 - right) * (5 - right) / 30))
    scored = rows_of(folder / "scores.jsonl")[0]
    assert (scored["passed"], scored["why"]) == ((True, "") if right == 6 else (False, "AssertionError"))
    few = run_dir("evaluate", {"task": [{**HUMANEVAL, "repeats": 1}], "rows": [row]}, settings, base=base, name="few")
    assert "pass@2 needs 2 answers" in failure(few)[1]

    rows = [{"text": "Add.", "test_list": ["assert True", "assert 1 + 1 == 2"]}]
    mbpp = run_dir("evaluate", {"task": [MBPP], "rows": rows}, settings, base=base, name="mbpp")
    assert finished(mbpp)["metrics"]["pass@1"]["value"] == 0
    assert "IndentationError" in rows_of(mbpp / "scores.jsonl")[0]["why"], "the answer alone is no program"
    assert not events(mbpp, "warning")
