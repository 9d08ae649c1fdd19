from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.core.errors import DomainError
from feedbackhub.projects.access import ADMINISTER, ANY, visible_projects
from feedbackhub.projects.groups import group_set, member_group_set
from feedbackhub.projects.models import IdentityLeaks, Membership, Order, Project, RaterGroup, Role, TaskKind
from feedbackhub.projects.services import member_add, project_change, project_create

from .base import Endpoint, Strict, page


class ProjectBody(Strict):
    slug = serializers.CharField(max_length=60)
    name = serializers.CharField(max_length=120)
    guidelines = serializers.CharField(required=False, allow_blank=True, default="", max_length=100_000)
    task_kind = serializers.ChoiceField(choices=TaskKind.choices, required=False, default=TaskKind.PAIRWISE)
    criteria = serializers.ListField(child=serializers.JSONField(), required=False, default=list)
    judgments_per_task = serializers.IntegerField(min_value=1, max_value=50, required=False, default=1)


class ProjectChange(Strict):
    name = serializers.CharField(max_length=120, required=False)
    guidelines = serializers.CharField(required=False, allow_blank=True, max_length=100_000)
    judgments_per_task = serializers.IntegerField(min_value=1, max_value=50, required=False)
    criteria = serializers.ListField(child=serializers.JSONField(), required=False)
    order = serializers.ChoiceField(choices=Order.choices, required=False)
    explore_percent = serializers.IntegerField(min_value=0, max_value=100, required=False)
    gold_percent = serializers.IntegerField(min_value=0, max_value=50, required=False)
    repeat_percent = serializers.IntegerField(min_value=0, max_value=50, required=False)
    deadline = serializers.DateTimeField(required=False, allow_null=True)
    identity_leaks = serializers.ChoiceField(choices=IdentityLeaks.choices, required=False)
    smallest_difference = serializers.FloatField(min_value=0.5, max_value=25, required=False)


class GroupBody(Strict):
    name = serializers.CharField(max_length=60)
    weight = serializers.IntegerField(min_value=1, max_value=100, required=False, default=1)
    languages = serializers.ListField(child=serializers.CharField(max_length=20), required=False, default=list)
    members = serializers.ListField(child=serializers.CharField(max_length=150), required=False)


class MemberBody(Strict):
    username = serializers.CharField(max_length=150)
    role = serializers.CharField()
    password = serializers.CharField(required=False, trim_whitespace=False)


def project_shown(project: Project) -> dict:
    return {
        "slug": project.slug,
        "name": project.name,
        "guidelines": project.guidelines,
        "guidelines_version": project.guidelines_version,
        "task_kind": project.task_kind,
        "criteria": project.criteria,
        "judgments_per_task": project.judgments_per_task,
        "order": project.order,
        "explore_percent": project.explore_percent,
        "deadline": project.deadline,
        "identity_leaks": project.identity_leaks,
        "smallest_difference": project.smallest_difference,
        "is_demo": project.is_demo,
        "created_at": project.created_at,
    }


def checks_shown(project: Project, roles: frozenset[str]) -> dict:
    """The shares of checks, for an admin alone: raters are not told."""
    if Role.ADMIN not in roles:
        return {}
    return {"gold_percent": project.gold_percent, "repeat_percent": project.repeat_percent}


def group_shown(group: RaterGroup) -> dict:
    members = group.memberships.values_list("user__username", flat=True).order_by("user__username")
    return {"name": group.name, "weight": group.weight, "languages": group.languages, "members": list(members)}


def member_shown(membership: Membership, token: str | None = None) -> dict:
    shown = {"username": membership.user.username, "role": membership.role}
    if membership.user.is_simulated:
        shown["simulated"] = True
    return {**shown, "token": token} if token else shown


class Projects(Endpoint):
    @extend_schema(summary="The projects that you have a role in", responses=dict)
    def get(self, request: Request) -> Response:
        return page(request, visible_projects(request.user), project_shown)

    @extend_schema(summary="Create a project (superusers only)", request=ProjectBody, responses={201: dict})
    def post(self, request: Request) -> Response:
        project = project_create(by=request.user, **self.read(request, ProjectBody))
        return Response(project_shown(project), status=201)


class ProjectDetail(Endpoint):
    @extend_schema(summary="A project", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ANY)
        return Response(
            {**project_shown(project), **checks_shown(project, request.roles), "roles": sorted(request.roles)}
        )

    @extend_schema(summary="Change a project's settings", request=ProjectChange, responses=dict)
    def patch(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        changed = project_change(project=project, **self.read(request, ProjectChange))
        return Response(
            {**project_shown(changed), **checks_shown(changed, request.roles), "roles": sorted(request.roles)}
        )


class Groups(Endpoint):
    @extend_schema(summary="The groups of raters", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(request, RaterGroup.objects.filter(project=project), group_shown)

    @extend_schema(
        summary="Make or change a group of raters; `members` puts these raters into it",
        request=GroupBody,
        responses={201: dict},
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, GroupBody))
        members = body.pop("members", [])
        with transaction.atomic():
            group = group_set(project=project, **body)
            for username in members:
                found = Membership.objects.filter(project=project, user__username=username).exclude(role="stakeholder")
                if not found.exists():
                    message = f'"{username}" does not rate in this project.'
                    raise DomainError(message, fields={"members": message})
                for membership in found:
                    member_group_set(membership=membership, group=group)
        return Response(group_shown(group), status=201)


class Members(Endpoint):
    @extend_schema(summary="Who has which role", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        return page(request, Membership.objects.filter(project=project).select_related("user"), member_shown)

    @extend_schema(
        summary="Give a user a role, creating the user if need be", request=MemberBody, responses={201: dict}
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        membership, token = member_add(project=project, **self.read(request, MemberBody))
        return Response(member_shown(membership, token), status=201)
