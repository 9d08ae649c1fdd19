import django_rq
from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.cache import cache_control
from django.views.i18n import JavaScriptCatalog


def healthz(request: HttpRequest) -> JsonResponse:
    """200 when database and queue answer, else 503 with what does not."""
    problems = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:
        problems["database"] = str(error)
    try:
        django_rq.get_connection("default").ping()
    except Exception as error:
        problems["queue"] = str(error)
    return JsonResponse({"status": "failing" if problems else "ok", **problems}, status=503 if problems else 200)


@cache_control(public=True, max_age=60 * 60 * 24 * 365, immutable=True)
def words(request: HttpRequest, language: str) -> HttpResponse:
    """The scripts' texts in a language; a page asks for it by its content (templatetags/language.py)."""
    if language not in dict(settings.LANGUAGES):
        raise Http404(language)
    with translation.override(language):
        # Only our own catalogue: of all apps' it would be that of the staff screens too.
        return JavaScriptCatalog.as_view(packages=["feedbackhub.core"])(request)


def bad_request(request: HttpRequest, exception=None) -> HttpResponse:
    return render(request, "400.html", status=400)


def forbidden(request: HttpRequest, exception=None) -> HttpResponse:
    return render(request, "403.html", {"message": str(exception or "")}, status=403)


def not_found(request: HttpRequest, exception=None) -> HttpResponse:
    # Django's own Resolver404 carries a dictionary of the routes it tried: nothing for a person to read.
    message = exception.args[0] if exception and exception.args and isinstance(exception.args[0], str) else ""
    return render(request, "404.html", {"message": message}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    return render(request, "500.html", status=500)
