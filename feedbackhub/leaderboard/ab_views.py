"""The page of an A/B report, and its numbers as JSON and CSV."""

import csv
from io import StringIO
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of
from feedbackhub.catalog.services import model_by_name
from feedbackhub.projects.access import READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page

from .ab import ab as compared
from .ab_page import as_csv, inert, report
from .lineage import latest_pair
from .selectors import categories
from .side_by_side import MODELS_AT_MOST, default_models, side_by_side


@login_required
@project_page(READ_REPORTS)
def ab(request: HttpRequest) -> HttpResponse:
    """Two models against each other: ?a= ?b= ?category=, and ?as=csv, json or pdf.

    Without names, the latest tuned model and its parent; where there is none, the form alone.
    """
    project = request.project
    pair, is_default = _pair(request)
    category = request.GET.get("category") or None
    known = categories(project)
    category = category if category in known else None
    models = models_of(project).filter(role=ModelVersion.Purpose.POLICY)
    context = {"names": list(models.values_list("name", flat=True)), "categories": known, "category": category}
    if pair is None:
        context |= {"a": request.GET.get("a", ""), "b": request.GET.get("b", "")}
        return render(request, "leaderboard/ab.html", context)
    a, b = pair
    query = urlencode({"a": a.name, "b": b.name, **({"category": category} if category else {})})
    if request.GET.get("as") in ("json", "csv"):
        with translation.override(settings.LANGUAGE_CODE):  # for programs: in English, as the API has it
            found = compared(project=project, a=a, b=b, category=category)
            return (
                JsonResponse(found) if request.GET["as"] == "json" else _csv(as_csv(found), project_file(request, "ab"))
            )
    found = report(project=project, a=a, b=b, category=category)
    if request.GET.get("as") == "pdf":
        from .ab_paper import ab_paper  # letters and drawing take a third of a second to import

        return pdf(ab_paper(project=project, found=found, category=category), f"{project.slug}-ab.pdf")
    context |= {
        "a": a.name,
        "b": b.name,
        "a_model": a,
        "b_model": b,
        "is_default": is_default,
        "query": query,
        "is_admin": Role.ADMIN in request.roles,
        **found,
    }
    return render(request, "leaderboard/ab.html", context)


def _pair(request: HttpRequest) -> tuple[tuple[ModelVersion, ModelVersion] | None, bool]:
    """The two models asked for, and whether they were chosen for want of names."""
    names = [request.GET.get(side, "") for side in ("a", "b")]
    if all(names):
        a, b = (model_by_name(project=request.project, name=name) for name in names)
        return (a, b), False
    return (None if any(names) else latest_pair(request.project)), True


def pdf(content: bytes, filename: str) -> HttpResponse:
    """A file to keep, in the reader's language."""
    answer = HttpResponse(content, content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer


def _csv(text: str, filename: str) -> HttpResponse:
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer


@login_required
@project_page(READ_REPORTS)
def compare(request: HttpRequest) -> HttpResponse:
    """Models side by side: ?model= (two to eight times), and ?as=csv, json or pdf."""
    project = request.project
    asked = list(dict.fromkeys(name for name in request.GET.getlist("model") if name))
    models = [model_by_name(project=project, name=name) for name in asked[:MODELS_AT_MOST]]
    is_default = not models
    models = models or default_models(project)
    query = urlencode([("model", model.name) for model in models])
    found = side_by_side(project, models) if len(models) > 1 else {}
    if request.GET.get("as") in ("json", "csv") and found:
        return _side_by_side_download(request, models, found)
    if request.GET.get("as") == "pdf" and found and found["rows"]:
        from .board_paper import compare_paper

        names = [model.name for model in models]
        return pdf(compare_paper(project=project, names=names, found=found), f"{project.slug}-models.pdf")
    problem = ""
    if len(asked) > MODELS_AT_MOST:
        problem = _("Only the first %(most)s models are shown; more nobody tells apart.") % {"most": MODELS_AT_MOST}
    policies = models_of(project).filter(role=ModelVersion.Purpose.POLICY)
    context = {
        "names": list(policies.values_list("name", flat=True)),
        "models": models,
        "query": query,
        "chosen": [model.name for model in models],
        "is_default": is_default,
        "problem": problem,
        **found,
        "evaluations_url": reverse("evaluation:list", args=[project.slug]),
    }
    return render(request, "leaderboard/compare.html", context)


def _side_by_side_download(request: HttpRequest, models: list[ModelVersion], found: dict) -> HttpResponse:
    names = [model.name for model in models]
    if request.GET["as"] == "json":
        rows = [{"metric": row["metric"], "suite": row["suite"], "models": dict(zip(names, row["cells"], strict=True))}
                for row in found["rows"]]  # fmt: skip
        return JsonResponse({"models": names, "rows": rows, "missing": found["missing"]})
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(["metric", "suite", "model", "value", "lower", "upper", "n"])
    for row in found["rows"]:
        for name, cell in zip(names, row["cells"], strict=True):
            if cell:
                values = [cell[key] for key in ("value", "lower", "upper", "n")]
                writer.writerow([row["metric"], row["suite"], inert(name), *values])
    return _csv(text.getvalue(), project_file(request, "models"))


def project_file(request: HttpRequest, name: str) -> str:
    return f"{request.project.slug}-{name}.csv"
