"""Every error is {"detail", "code", "fields"}; bad input is never a 500."""

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_handler

from feedbackhub.core.errors import refused


def exception_handler(error: Exception, context: dict) -> Response | None:
    if refusal := refused(error):
        return _answer(refusal.status, refusal.message, refusal.code, refusal.fields, refusal.extra)
    if isinstance(error, exceptions.ValidationError):
        fields = _fields(error.detail)
        detail = " ".join(f"{name}: {problem}" if name else problem for name, problem in fields.items())
        return _answer(400, detail, "invalid", {name: problem for name, problem in fields.items() if name})
    if isinstance(error, Http404):
        return _answer(404, "There is nothing here.", "not_found")
    if isinstance(error, PermissionDenied):
        return _answer(403, str(error) or "This is not yours to do.", "forbidden")
    response = drf_handler(error, context)
    if response is not None and isinstance(error, exceptions.APIException):
        response.data = {"detail": str(error.detail), "code": str(error.get_codes()), "fields": {}}
    return response


def _answer(status: int, detail: str, code: str, fields: dict | None = None, extra: dict | None = None) -> Response:
    return Response({"detail": detail, "code": code, "fields": fields or {}, **(extra or {})}, status=status)


def _fields(detail: object, prefix: str = "") -> dict[str, str]:
    """DRF's nested errors, flat: "criteria.0.key" → what is wrong with it."""
    if isinstance(detail, dict):
        flat = {}
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            flat.update(_fields(inner, ".".join(part for part in (prefix, own) if part)))
        return flat
    if isinstance(detail, list):
        if all(isinstance(one, str) for one in detail):
            return {prefix: " ".join(detail)}
        flat = {}
        for position, inner in enumerate(detail):
            if inner:
                flat.update(_fields(inner, f"{prefix}.{position}" if prefix else str(position)))
        return flat
    return {prefix: str(detail)}
