from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedbackhub.core.errors import DomainError, NotFound

from . import services
from .access import ADMINISTER
from .forms import MemberForm, SettingsForm
from .models import Membership
from .pages import project_page


@login_required
@project_page(ADMINISTER)
def settings(request: HttpRequest) -> HttpResponse:
    """The project's settings and its members."""
    form = SettingsForm(request.POST or None, instance=request.project)
    if request.method == "POST" and form.is_valid():
        try:
            services.project_change(project=request.project, **form.cleaned_data)
        except DomainError as error:
            _add_errors(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("projects:settings", request.project.slug)
    return _page(request, form, MemberForm())


@require_POST
@login_required
@project_page(ADMINISTER)
def member_add(request: HttpRequest) -> HttpResponse:
    form = MemberForm(request.POST)
    if form.is_valid():
        given = {**form.cleaned_data, "password": form.cleaned_data["password"] or None}
        try:
            membership, token = services.member_add(project=request.project, **given)
        except DomainError as error:
            _add_errors(form, error)
        else:
            said = f"{membership.user.username} is {membership.get_role_display().lower()} now."
            if token:
                said += f" Token for programs, shown this once: {token}"
            messages.success(request, said)
            return redirect("projects:settings", request.project.slug)
    return _page(request, SettingsForm(instance=request.project), form)


@require_POST
@login_required
@project_page(ADMINISTER)
def member_remove(request: HttpRequest, pk: int) -> HttpResponse:
    membership = Membership.objects.select_related("user").filter(project=request.project, pk=pk).first()
    if membership is None:
        raise NotFound("There is no such member.")
    try:
        services.member_remove(project=request.project, membership=membership)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        role = membership.get_role_display().lower()
        messages.success(request, f"{membership.user.username} is {role} no more. What they said stays.")
    return redirect("projects:settings", request.project.slug)


def _add_errors(form, error: DomainError) -> None:
    for field, problem in (error.fields or {None: error.message}).items():
        form.add_error(field if field in form.fields else None, problem)


def _page(request: HttpRequest, form: SettingsForm, member_form: MemberForm) -> HttpResponse:
    members = (
        Membership.objects.filter(project=request.project).select_related("user").order_by("user__username", "role")
    )
    context = {"form": form, "member_form": member_form, "members": members}
    return render(request, "projects/settings.html", context)
