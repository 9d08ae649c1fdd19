"""Raters' reliability and signals, decisions about raters, and settlements, for admins."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedbackhub.accounts.models import User
from feedbackhub.core.errors import DomainError, NotFound
from feedbackhub.projects.access import ADMINISTER, require
from feedbackhub.rating import adjudication, decisions, quality_report, quality_signals
from feedbackhub.rating.models import Judgment, RaterDecision, Task

from .base import Endpoint, Strict, body_of, page
from .rating import judgment_shown

DISAGREEMENTS = 100


class DecisionBody(Strict):
    rater = serializers.CharField(max_length=150)
    action = serializers.ChoiceField(choices=["suspend", "weigh", "dismiss"])
    reason = serializers.CharField(max_length=decisions.REASON_AT_MOST)
    weight = serializers.FloatField(required=False, min_value=0, max_value=1)
    signals = serializers.ListField(child=serializers.CharField(max_length=20), required=False, max_length=20)


class SettlementBody(Strict):
    ranking = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()), required=False)
    none_acceptable = serializers.BooleanField(required=False, default=False)
    thumbs = serializers.ChoiceField(choices=[1, -1], required=False)
    comment = serializers.CharField(required=False, allow_blank=True, default="")


UndoBody = body_of(reason=serializers.CharField(required=False, allow_blank=True, default="", max_length=1000))


def decision_shown(one: RaterDecision) -> dict:
    return {
        "id": one.pk,
        "rater": one.rater.username,
        "action": one.action,
        "weight": one.weight,
        "signals": one.signals,
        "because": one.because,
        "reason": one.reason,
        "undoes": one.undoes_id,
        "decided_by": one.decided_by.username,
        "decided_at": one.decided_at,
    }


def rater_shown(one: quality_report.RaterReliability) -> dict:
    accuracy, skill, triads = one.reliability, one.skill, one.triads
    return {
        "rater": one.name,
        "imported": one.is_imported,
        "accuracy": accuracy
        and {"value": accuracy.accuracy, "lower": accuracy.lower, "upper": accuracy.upper, "items": accuracy.items},
        "skill": skill
        and {
            "value": skill.skill,
            "lower": skill.lower,
            "upper": skill.upper,
            "bias": skill.bias,
            "votes": skill.votes,
        },
        "triads": triads and {"triads": triads.triads, "circular": triads.circular, "expected": triads.expected},
    }


class Quality(Endpoint):
    @extend_schema(summary="Reliability of raters, signals, circular triads, disagreements", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        report = quality_report.report(project)
        names = {one.rater.pk: one.rater.username for one in report.habits}
        found = quality_signals.signals(project, report)
        triads = report.triads
        answer = {
            "as_of": report.made_at,
            "raters": [rater_shown(one) for one in report.raters],
            "accuracy_undefined_because": report.reliability_undefined,
            "skill_undefined_because": report.skill_undefined,
            "signals": [
                {"rater": names[rater], "kind": one.kind, "text": one.text}
                for rater, signals in found.items()
                if rater in names
                for one in signals
            ],
            "triads": {
                "triads": triads.triads,
                "circular": triads.circular,
                "expected": triads.expected,
                "consistency": triads.consistency,
                "undefined_because": triads.undefined_because,
                "cycles": report.cycles,
            },
            "disagreements": [{"task": pk, "labels": labels} for pk, labels in report.split[:DISAGREEMENTS]],
        }
        return Response(answer)


class Decisions(Endpoint):
    @extend_schema(summary="Decisions about raters, latest first", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        return page(request, decisions.decisions_of(self.project(request, slug, ADMINISTER)), decision_shown)

    @extend_schema(
        summary="Suspend a rater, weigh their votes, or dismiss signals", request=DecisionBody, responses={201: dict}
    )
    def post(self, request: Request, slug: str) -> Response:
        project = self.project(request, slug, ADMINISTER)
        body = dict(self.read(request, DecisionBody))
        username = body.pop("rater")
        rater = User.objects.filter(username=username, memberships__project=project).first()
        if rater is None:
            message = f'"{username}" does not rate in this project.'
            raise DomainError(message, fields={"rater": message})
        made = decisions.rater_decide(project=project, rater=rater, by=request.user, **body)
        return Response(decision_shown(made), status=201)


class DecisionUndo(Endpoint):
    @extend_schema(summary="Take a decision back", request=UndoBody, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        found = RaterDecision.objects.select_related("project").filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no decision {pk}.")
        require(request.user, found.project, ADMINISTER)
        undo = decisions.decision_undo(decision=found, by=request.user, **self.read(request, UndoBody))
        return Response(decision_shown(undo))


class Settlements(Endpoint):
    @extend_schema(summary="The settlements that hold", responses=dict)
    def get(self, request: Request, slug: str) -> Response:
        found = adjudication.settlements(self.project(request, slug, ADMINISTER)).prefetch_related("items")
        return page(request, found, judgment_shown)


class TaskSettlement(Endpoint):
    @extend_schema(summary="Settle what raters disagree on", request=SettlementBody, responses={201: dict})
    def post(self, request: Request, pk: int) -> Response:
        task = Task.objects.select_related("project").filter(pk=pk, check_kind="").first()
        if task is None:
            raise NotFound(f"There is no task {pk} that can be settled.")
        require(request.user, task.project, ADMINISTER)
        body = self.read(request, SettlementBody)
        verdict = _verdict(body)
        made = adjudication.task_settle(task=task, by=request.user, verdict=verdict, comment=body["comment"])
        return Response(judgment_shown(made), status=201)


def _verdict(body: dict) -> str:
    if body["none_acceptable"]:
        return adjudication.NONE
    if "thumbs" in body:
        return str(body["thumbs"])
    return ">".join("=".join(map(str, tier)) for tier in body.get("ranking", []))


class SettlementUndo(Endpoint):
    @extend_schema(summary="Take a settlement back: the votes speak again", request=None, responses=dict)
    def post(self, request: Request, pk: int) -> Response:
        found = Judgment.objects.select_related("project").filter(pk=pk, source=Judgment.Source.ADJUDICATION).first()
        if found is None:
            raise NotFound(f"There is no settlement {pk}.")
        require(request.user, found.project, ADMINISTER)
        adjudication.settlement_undo(settlement=found, by=request.user)
        return Response({"id": pk, "task": found.task_id, "undone": True})
