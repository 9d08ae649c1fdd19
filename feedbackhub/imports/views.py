"""Pages of imports: upload a file, watch it being read, see what was not taken and why."""

from django.contrib.auth.decorators import login_required
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.pages import project_page

from .examples import EXAMPLES, WHAT_FOR
from .fields import FIELDS
from .forms import ImportForm
from .models import Import
from .services import OPEN, import_create

IMPORTS_A_PAGE = 20
REJECTIONS_SHOWN = 1000


def _kinds() -> list[dict]:
    return [
        {
            "value": kind,
            "label": label,
            "what": WHAT_FOR[kind],
            "example": EXAMPLES[kind],
            "fields": FIELDS[kind].items(),
        }
        for kind, label in Import.Kind.choices
    ]


@login_required
@project_page(ADMINISTER)
def import_list(request: HttpRequest) -> HttpResponse:
    """What was imported before, and the form for the next file."""
    initial = {"kind": request.GET.get("kind", Import.Kind.PROMPTS)}
    form = ImportForm(request.POST or None, request.FILES or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            report = import_create(
                project=request.project,
                by=request.user,
                kind=form.cleaned_data["kind"],
                file=form.cleaned_data["file"],
                filename=form.cleaned_data["file"].name,
                field_map=form.cleaned_data["map"],
                template=form.cleaned_data["template"],
            )
        except DomainError as error:
            for field, problem in (error.fields or {"": error.message}).items():
                form.add_error(field if field in form.fields else None, problem)
        else:
            return redirect("imports:import", request.project.slug, report.pk)
    reports = Import.objects.filter(project=request.project).select_related("created_by").order_by("-pk")
    page = Paginator(reports, IMPORTS_A_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "kinds": _kinds()}
    return render(request, "imports/imports.html", context, status=400 if form.errors else 200)


@login_required
@project_page(ADMINISTER)
def import_report(request: HttpRequest, pk: int) -> HttpResponse:
    """One import; while it is being read the page asks again every second and takes the report only."""
    report = Import.objects.filter(project=request.project, pk=pk).select_related("created_by").first()
    if report is None:
        raise NotFound(_('There is no import %(pk)s in "%(project)s".') % {"pk": pk, "project": request.project.slug})
    context = {
        "report": report,
        "active": report.status in OPEN,
        "progress_label": _("%(lines)s lines read") % {"lines": intcomma(report.read)},
        "progress_note": _("%(read)s of %(size)s")
        % {"read": filesizeformat(report.bytes_read), "size": filesizeformat(report.size)},
        "rejections": report.rejections.order_by("line")[:REJECTIONS_SHOWN],
        "shown_at_most": REJECTIONS_SHOWN,
    }
    return render(request, "imports/import.html" + ("#report" if request.htmx else ""), context)
