"""The visitor's language; and a service's no, shown as a page. The API has its own way (api/errors.py)."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.shortcuts import render
from django.utils import translation

from .errors import refused

FOR_PROGRAMS = ("/api/", "/healthz")


class LanguageMiddleware(LocaleMiddleware):
    """Pages in the visitor's language; what programs read is English, whatever their Accept-Language says."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(FOR_PROGRAMS):
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = settings.LANGUAGE_CODE
        else:
            super().process_request(request)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        return response if request.path_info.startswith(FOR_PROGRAMS) else super().process_response(request, response)


class DomainErrorMiddleware:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        refusal = refused(exception)
        if refusal is None:
            return None
        template = {403: "403.html", 404: "404.html"}.get(refusal.status, "400.html")
        return render(request, template, {"message": refusal.message}, status=refusal.status)
