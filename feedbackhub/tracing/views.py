from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from feedbackhub.projects.access import ADMINISTER
from feedbackhub.projects.pages import project_page

from . import selectors, services
from .models import DeliveryState


@login_required
@project_page(ADMINISTER)
def ledger(request: HttpRequest) -> HttpResponse:
    """What LangSmith has been sent, is to be sent, and has refused."""
    project = request.project
    state = request.GET.get("state", "")
    page = Paginator(selectors.deliveries_of(project, state), 50).get_page(request.GET.get("page"))
    counts = selectors.delivery_counts(project)
    return render(
        request,
        "tracing/ledger.html",
        {
            "page": page,
            "state": state,
            "states": [(value, label, counts[value]) for value, label in DeliveryState.choices],
            "total": sum(counts.values()),
            "failed": counts[DeliveryState.FAILED],
            "enabled": services.enabled(),
            "session_name": services.session_name(project),
            "endpoint": settings.LANGSMITH_ENDPOINT,
        },
    )


@require_POST
@login_required
@project_page(ADMINISTER)
def retry(request: HttpRequest) -> HttpResponse:
    count = services.deliveries_retry(project=request.project)
    said = ngettext("%(count)s delivery will be tried again.", "%(count)s deliveries will be tried again.", count)
    messages.success(request, said % {"count": count})
    return redirect("tracing:ledger", request.project.slug)
