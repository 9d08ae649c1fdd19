from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from feedbackhub.core.errors import DomainError, NotFound

from . import groups, services
from .access import ADMINISTER
from .forms import GroupForm, MemberForm, SettingsForm
from .models import Membership, RaterGroup
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
            messages.success(request, _("Saved."))
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
            given = {"name": membership.user.username, "role": _(membership.role)}
            said = _("%(name)s is %(role)s now.") % given
            if token:
                said += " " + _("Token for programs, shown this once: %(token)s") % {"token": token}
            messages.success(request, said)
            return redirect("projects:settings", request.project.slug)
    return _page(request, SettingsForm(instance=request.project), form)


@require_POST
@login_required
@project_page(ADMINISTER)
def member_remove(request: HttpRequest, pk: int) -> HttpResponse:
    membership = Membership.objects.select_related("user").filter(project=request.project, pk=pk).first()
    if membership is None:
        raise NotFound(_("There is no such member."))
    try:
        services.member_remove(project=request.project, membership=membership)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        given = {"name": membership.user.username, "role": _(membership.role)}
        messages.success(request, _("%(name)s is %(role)s no more. What they said stays.") % given)
    return redirect("projects:settings", request.project.slug)


@require_POST
@login_required
@project_page(ADMINISTER)
def group_set(request: HttpRequest) -> HttpResponse:
    form = GroupForm(request.POST, auto_id="id_group_%s")
    if form.is_valid():
        given = {**form.cleaned_data, "languages": form.cleaned_data["languages"].replace(",", " ").split()}
        try:
            group = groups.group_set(project=request.project, **given)
        except DomainError as error:
            _add_errors(form, error)
        else:
            messages.success(request, _("The group %(name)s holds for tasks made from now on.") % {"name": group.name})
            return redirect("projects:settings", request.project.slug)
    return _page(request, SettingsForm(instance=request.project), MemberForm(), form)


@require_POST
@login_required
@project_page(ADMINISTER)
def group_remove(request: HttpRequest, pk: int) -> HttpResponse:
    group = get_object_or_404(RaterGroup, project=request.project, pk=pk)
    groups.group_remove(group=group)
    messages.success(request, _("The group %(name)s is gone; its open work is everyone’s.") % {"name": group.name})
    return redirect("projects:settings", request.project.slug)


@require_POST
@login_required
@project_page(ADMINISTER)
def member_group(request: HttpRequest, pk: int) -> HttpResponse:
    membership = get_object_or_404(Membership.objects.select_related("user"), project=request.project, pk=pk)
    chosen = request.POST.get("group", "")
    group = get_object_or_404(RaterGroup, project=request.project, pk=chosen) if chosen else None
    try:
        groups.member_group_set(membership=membership, group=group)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        given = {"name": membership.user.username, "group": group.name if group else ""}
        said = _("%(name)s is in %(group)s now.") if group else _("%(name)s is in no group now.")
        messages.success(request, said % given)
    return redirect("projects:settings", request.project.slug)


def _add_errors(form, error: DomainError) -> None:
    for field, problem in (error.fields or {None: error.message}).items():
        form.add_error(field if field in form.fields else None, problem)


def _page(
    request: HttpRequest, form: SettingsForm, member_form: MemberForm, group_form: GroupForm | None = None
) -> HttpResponse:
    members = Membership.objects.filter(project=request.project).select_related("user", "group")
    context = {
        "form": form,
        "member_form": member_form,
        "group_form": group_form or GroupForm(auto_id="id_group_%s"),
        "members": members.order_by("user__username", "role"),
        "groups": RaterGroup.objects.filter(project=request.project).order_by("name"),
    }
    return render(request, "projects/settings.html", context)
