from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from feedbackhub.catalog.selectors import models_of
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ANY, OWN_WORK, READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page
from feedbackhub.projects.services import project_create

from . import digest, selectors
from .brief import brief
from .forms import ProjectForm
from .models import DigestSubscription


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The projects of whoever is signed in."""
    return render(request, "overview/home.html", {"projects": selectors.projects_of(request.user)})


@login_required
def project_new(request: HttpRequest) -> HttpResponse:
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            project = project_create(by=request.user, **form.cleaned_data)
        except DomainError as error:
            for field, problem in (error.fields or {None: error.message}).items():
                form.add_error(field if field in form.fields else None, problem)
        else:
            return redirect("overview:project", project.slug)
    return render(request, "overview/project_new.html", {"form": form})


@login_required
@project_page(ANY)
def project(request: HttpRequest) -> HttpResponse:
    """The loop at a glance: what there is, who leads, what to do next."""
    reads = bool(request.roles & READ_REPORTS)
    context = {
        "loop": selectors.loop_of(request.project),
        "leaders": selectors.leaders(request.project) if reads else [],
        "reads": reads,
        "rates": bool(request.roles & {Role.RATER, Role.ADMIN}),
        "is_admin": Role.ADMIN in request.roles,
    }
    if reads:
        subscription = DigestSubscription.objects.filter(project=request.project, user=request.user).first()
        context["brief"] = brief(request.project)
        context["reader"] = {"is_on": digest.is_on(), "subscription": subscription}
    return render(request, "overview/project.html", context)


@login_required
@project_page(READ_REPORTS)
def model(request: HttpRequest, pk: int) -> HttpResponse:
    """A model and the thread behind it: round, dataset, votes, back to the base."""
    found = models_of(request.project).filter(pk=pk).select_related("parent").first()
    if found is None:
        raise NotFound(_('There is no such model in "%(project)s".') % {"project": request.project.slug})
    context = {
        "model": found,
        "votes": selectors.votes_on(request.project, found),
        "is_admin": Role.ADMIN in request.roles,
        **selectors.lineage(request.project, found),
    }
    return render(request, "overview/model.html", context)


@login_required
@project_page(OWN_WORK)
def rater(request: HttpRequest) -> HttpResponse:
    """The rater's own page: how much they have said, how fast, with whom they agree, and what it was good for."""
    return render(request, "overview/rater.html", selectors.rater_page(request.project, request.user))
