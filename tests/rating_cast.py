"""Models with answers, tasks, judgments as a client makes them, and the rating page in a real browser."""

import os
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


@pytest.fixture
def answers(project):
    """answers(3, "red", "blue"): three prompts with an answer each by these models; returns the models by name.

    Called again it adds: prompts are told apart by their number.
    """
    from feedbackhub.catalog.content import text_parts
    from feedbackhub.catalog.models import Output
    from feedbackhub.catalog.services import model_get_or_create_imported, prompt_get_or_create

    def make(prompts, *names, text="{name} answers {number}", category=""):
        models = {name: model_get_or_create_imported(project=project, name=name) for name in names}
        for number in range(prompts):
            prompt, _ = prompt_get_or_create(project=project, prompt=f"Question {number}?", category=category)
            for name, model in models.items():
                parts = text_parts(text.replace("{name}", name).replace("{number}", str(number)))
                Output.objects.create(prompt=prompt, model=model, parts=parts, content_key=uuid.uuid4().hex)
        return models

    return make


@pytest.fixture
def tasks(project, answers):
    """tasks(3, "red", "blue", kind=…): tasks of these models' answers to three prompts; returns the tasks."""
    from feedbackhub.rating.models import Task
    from feedbackhub.rating.services import tasks_create

    def make(prompts=1, *names, category="", **wish):
        models = answers(prompts, *(names or ("red", "blue")), category=category)
        tasks_create(project=project, models=list(models.values()), **wish)
        return list(Task.objects.filter(project=project).order_by("pk"))

    return make


@pytest.fixture
def leased(project):
    """leased(bob): bob's next task."""
    from feedbackhub.rating.services import task_next

    return lambda rater, **options: task_next(project=project, rater=rater, **options)


@pytest.fixture
def said():
    """said(lease, "red", "blue"): the payload of a judgment that ranks these models so; ("red", "blue") is a tie.

    Without names the outputs are ranked as shown.
    """

    def payload(lease, *order, **fields):
        of = {output.model.name: output.pk for output in lease.outputs}
        shown = [output.pk for output in lease.outputs]
        tiers = [[of[name] for name in ([tier] if isinstance(tier, str) else tier)] for tier in order]
        ranking = tiers or [[pk] for pk in shown]
        return {"key": str(uuid.uuid4()), "ranking": ranking, "shown": shown, "duration_ms": 900, **fields}

    return payload


@pytest.fixture
def judged(leased, said):
    """judged(bob, "red", "blue"): bob judges his next task so; returns what was recorded."""
    from feedbackhub.rating.services import judgment_record

    def judge(rater, *order, lease=None, **fields):
        lease = lease or leased(rater)
        return judgment_record(rater=rater, task=lease.task, payload=said(lease, *order, **fields))

    return judge


@pytest.fixture
def expire():
    """expire(lease): its time is over."""
    from feedbackhub.rating.models import Assignment

    def end(lease):
        past = timezone.now() - timedelta(seconds=1)
        Assignment.objects.filter(pk=lease.assignment.pk).update(lease_expires_at=past)

    return end


@pytest.fixture
def outcomes(project):
    """outcomes(): {(model, model): (wins of the first, of the second, ties, both bad)} of the stored tallies."""
    from feedbackhub.rating.models import PairTally

    def read():
        rows = PairTally.objects.filter(project=project).select_related("model_a", "model_b")
        return {(row.model_a.name, row.model_b.name): (row.wins_a, row.wins_b, row.ties, row.both_bad) for row in rows}

    return read


# --- In a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture
def page_of(chromium, live_server, client_of, project, settings, valkey):
    """page_of(bob): bob's rating page; `errors` of it holds what the console said."""
    settings.ALLOWED_HOSTS = ["*"]
    contexts, under_way = [], {}

    def open_page(user, path="", **options):
        context = chromium.new_context(base_url=live_server.url, **options)
        session = client_of(user).cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        # Where the first route comes after the page, one request in forty is sent past it: one is there from the start.
        context.route("**/asked-by-nobody", lambda route: route.abort())
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.errors = []
        requests = under_way[page] = set()
        page.on("request", lambda request: requests.add(request))
        page.on("requestfinished", lambda request: requests.discard(request))
        page.on("requestfailed", lambda request: requests.discard(request))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on(
            "dialog", lambda dialog: dialog.accept() if dialog.type == "beforeunload" else page.errors.append("dialog")
        )
        page.goto(f"/p/{project.slug}/rate/{path}")
        contexts.append(context)
        return page

    yield open_page
    # What the server is still at would meet the emptying of the tables.
    for page, requests in under_way.items():
        while requests:
            page.wait_for_timeout(10)  # its events come while one waits
    for context in contexts:
        context.close()


def task_of(page) -> int:
    return int(page.locator(".rate-task").get_attribute("data-task"))


def press_and_go_on(page, key) -> None:
    """Press a verdict's key and wait for another task."""
    before = page.locator(".rate-task").get_attribute("data-task")
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('.rate-task').dataset.task !== before", arg=before)


def saved(page) -> None:
    page.locator("#rate-state", has_text="Saved").wait_for()


def judgments(project, **filters) -> list:
    from feedbackhub.rating.models import Judgment

    return list(Judgment.objects.filter(project=project, **filters).order_by("pk").prefetch_related("items"))
