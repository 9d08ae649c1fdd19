"""Shared links: an admin's page of them, and the report that a bearer sees without an account."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.models import Project
from feedbackhub.projects.pages import project_page

from . import sharing
from .ab_page import report
from .ab_views import pdf
from .models import ShareEvent, ShareLink
from .pages import ratings_chart
from .selectors import board, categories

SHOWN = 200  # links, the latest
EVENTS = 30  # of the log, the latest
DAYS = ((7, _("a week")), (30, _("30 days")), (90, _("90 days")), (365, _("a year")))


class ShareForm(forms.Form):
    kind = forms.ChoiceField(choices=ShareLink.Kind.choices, label=_("Report"))
    a = forms.ModelChoiceField(
        queryset=ModelVersion.objects.none(), required=False, to_field_name="name", label="A", empty_label="–"
    )
    b = forms.ModelChoiceField(
        queryset=ModelVersion.objects.none(), required=False, to_field_name="name", label="B", empty_label="–"
    )
    category = forms.ChoiceField(required=False, label=_("Category"))
    days = forms.TypedChoiceField(choices=DAYS, coerce=int, initial=30, label=_("Lasts"))
    with_examples = forms.BooleanField(
        required=False,
        label=_("With examples"),
        help_text=_("Of an A/B: some prompts and both answers can then be read by whoever has the link."),
    )
    note = forms.CharField(required=False, max_length=200, label=_("For whom"))

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        models = models_of(project).filter(role=ModelVersion.Purpose.POLICY)
        self.fields["a"].queryset = self.fields["b"].queryset = models
        self.fields["category"].choices = [("", _("All")), *((name, name) for name in categories(project))]


@login_required
@project_page(ADMINISTER)
def shares(request: HttpRequest) -> HttpResponse:
    """The project's links and their log; a new one's address is shown once, in the answer to the form."""
    initial = {name: request.GET[name] for name in ("kind", "a", "b", "category") if name in request.GET}
    form = ShareForm(request.POST or None, project=request.project, initial=initial)
    address = None
    if request.method == "POST" and form.is_valid():
        given = {**form.cleaned_data, "category": form.cleaned_data["category"] or None}
        try:
            _link, token = sharing.share_create(project=request.project, by=request.user, **given)
        except DomainError as error:
            for field, problem in (error.fields or {None: error.message}).items():
                form.add_error(field if field in form.fields else None, problem)
        else:
            address = request.build_absolute_uri(f"/shared/{token}/")
            form = ShareForm(project=request.project)
    links = list(sharing.shares_of(request.project)[:SHOWN])
    now = timezone.now()
    for link in links:
        link.state = "stopped" if link.revoked_at else "completed" if link.expires_at <= now else "running"
        link.shows = _shows(link)
    events = ShareEvent.objects.filter(link__project=request.project).select_related("link", "by").order_by("-pk")
    context = {"form": form, "links": links, "events": events[:EVENTS], "address": address}
    answer = render(request, "leaderboard/shares.html", context, status=400 if form.errors else 200)
    if address:
        answer["Cache-Control"] = "no-store"  # the address is a secret
    return answer


def _shows(link: ShareLink) -> str:
    category = f" · {link.parameters['category']}" if link.parameters.get("category") else ""
    if link.kind == ShareLink.Kind.BOARD:
        return f"{link.get_kind_display()}{category}"
    a, b = sharing.models_shared(link)
    return f"{a.name} : {b.name}{category}"


@require_POST
@login_required
@project_page(ADMINISTER)
def share_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    sharing.share_revoke(link=sharing.share_get(project=request.project, pk=pk), by=request.user)
    messages.success(request, _("The link is taken back: it opens nothing any more."))
    return redirect("leaderboard:shares", request.project.slug)


@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """One report, read-only, for whoever has the link. It links to nothing that needs an account, is kept by no cache,
    found by no search engine, and its address is sent to no other site."""
    link = sharing.share_open(token=token, agent=request.headers.get("User-Agent", ""))
    category = link.parameters.get("category") or None
    context = {"link": link, "shared": True, "title": link.project.name}
    if link.kind == ShareLink.Kind.AB:
        a, b = sharing.models_shared(link)
        found = report(project=link.project, a=a, b=b, category=category, with_examples=link.with_examples)
        context |= {**found, "together": None}
        template = "leaderboard/shared_ab.html"
    else:
        found = board(project=link.project, method=link.parameters.get("method", "bt"), category=category)
        context |= {"board": found, "category": category, "chart": ratings_chart(found)}
        template = "leaderboard/shared_board.html"
    if request.GET.get("as") == "pdf":
        answer = _paper(link, found, category)
    else:
        answer = render(request, template, context)
    answer["Cache-Control"] = "no-store"
    answer["Referrer-Policy"] = "no-referrer"
    answer["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def _paper(link: ShareLink, found: dict, category: str | None) -> HttpResponse:
    """The same for keeping: what the link shows, and no more."""
    if link.kind == ShareLink.Kind.AB:
        from .ab_paper import ab_paper  # letters and drawing take a third of a second to import

        content = ab_paper(project=link.project, found={**found, "together": {"text": ""}}, category=category)
        return pdf(content, f"{link.project.slug}-ab.pdf")
    from .board_paper import board_paper

    charts = {"ratings": ratings_chart(found), "heatmap": None, "generations": {"series": []}}
    said = [_("Only votes of the category %(category)s.") % {"category": category}] if category else []
    content = board_paper(project=link.project, board=found, said=said, charts=charts)
    return pdf(content, f"{link.project.slug}-leaderboard.pdf")
