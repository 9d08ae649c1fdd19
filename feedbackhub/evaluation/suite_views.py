"""Pages of a project's own suites."""

import json

import yaml
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from feedbackhub.catalog.content import text_of
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.access import ADMINISTER, READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page

from . import selectors, suites
from .forms import SuiteForm
from .models import SuiteItem, SuiteVersion
from .rule_kinds import KINDS

EXAMPLE = """rules:
  - {kind: length, max: 60, unit: words}
  - {kind: not_contains, texts: ["As an AI", "language model"]}
  - {kind: repetition, n: 4, at_most: 0.2}
"""
EXAMPLE_ITEMS = '{"prompt": "Name three herbs.", "tags": ["lists"]}\n{"prompt": "What is salt?", "tags": ["facts"]}\n'


@login_required
@project_page(READ_REPORTS)
def suite_list(request: HttpRequest) -> HttpResponse:
    context = {"suites": selectors.latest_suites(request.project), "is_admin": Role.ADMIN in request.roles}
    return render(request, "evaluation/suites.html", context)


@login_required
@project_page(ADMINISTER)
def suite_new(request: HttpRequest) -> HttpResponse:
    """A new suite, or with ?from=ID the next version of one."""
    source = request.GET.get("from", "")
    initial = {"definition": EXAMPLE, "items": EXAMPLE_ITEMS}
    if source.isdecimal():
        initial = _written(selectors.suite_get(project=request.project, pk=int(source)))
    form = SuiteForm(request.POST or None, request.FILES or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            suite = suites.suite_save(
                project=request.project,
                name=given["name"],
                definition=given["definition"],
                items=given["items"] if given["file"] is None else given["file"],
                by=request.user,
            )
        except DomainError as error:
            for field, message in error.fields.items():
                form.add_error(field if field in form.fields else None, message)
        else:
            messages.success(request, _("%(suite)s is kept.") % {"suite": suite})
            return redirect("evaluation:suite", request.project.slug, suite.pk)
    context = {"form": form, "kinds": [(name, kind.help, ", ".join(kind.parameters)) for name, kind in KINDS.items()]}
    return render(request, "evaluation/suite_new.html", context, status=400 if form.is_bound else 200)


def definition_of(suite: SuiteVersion) -> dict:
    """The suite's definition as its author wrote it, but for defaults."""
    if suite.kind == SuiteVersion.Kind.TASK:
        return {"task": suite.task, **({"settings": suite.settings} if suite.settings else {})}
    found = {"description": suite.description, "settings": suite.settings, "rules": suite.rules}
    return {name: value for name, value in found.items() if value}


def item_written(item: SuiteItem) -> dict:
    """An item as a line of JSON Lines holds it."""
    if "messages" not in item.data:
        more = {"tags": item.tags, "example": item.example}
        return {**item.data, **{name: value for name, value in more.items() if value}}
    messages, rest = item.data["messages"], {**item.data, "tags": item.tags}
    said = [{"role": message["role"], "content": text_of(message["content"])} for message in messages]
    alone = len(said) == 1 and said[0]["role"] == "user"
    asked = {"prompt": said[0]["content"]} if alone else {"messages": said}
    return {"id": item.key, **asked, **{name: value for name, value in rest.items() if value and name != "messages"}}


def _written(suite: SuiteVersion) -> dict:
    lines = (json.dumps(item_written(item), ensure_ascii=False) for item in suite.items.all())
    return {"name": suite.name, "definition": _definition_text(suite), "items": "\n".join(lines)}


def _definition_text(suite: SuiteVersion) -> str:
    return yaml.safe_dump(definition_of(suite), allow_unicode=True, sort_keys=False, width=100)


@login_required
@project_page(READ_REPORTS)
def suite(request: HttpRequest, pk: int) -> HttpResponse:
    """One version: what it asks, its items; ?as=jsonl for the items."""
    found = selectors.suite_get(project=request.project, pk=pk)
    written = (item_written(item) for item in found.items.all())
    if request.GET.get("as") == "jsonl":
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in written)
        answer = HttpResponse(lines, content_type="application/jsonl; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="suite-{found.pk}.jsonl"'
        return answer
    page = Paginator(found.items.all(), 20).get_page(request.GET.get("page"))
    context = {
        "suite": found,
        "definition": _definition_text(found),
        "page": page,
        "shown": [(item, _shown(item)) for item in page],
        "versions": SuiteVersion.objects.filter(project=request.project, name=found.name).order_by("-number"),
        "evaluations": found.evaluations.prefetch_related("parts__model").order_by("-pk")[:20],
        "is_admin": Role.ADMIN in request.roles,
    }
    return render(request, "evaluation/suite.html", context)


def _shown(item: SuiteItem) -> str:
    if "messages" in item.data:
        return text_of(item.data["messages"][-1]["content"])
    return json.dumps(item.data, ensure_ascii=False)


@require_POST
@login_required
@project_page(ADMINISTER)
def suite_delete(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        suites.suite_delete(suite=selectors.suite_get(project=request.project, pk=pk))
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("evaluation:suite", request.project.slug, pk)
    return redirect("evaluation:suites", request.project.slug)
