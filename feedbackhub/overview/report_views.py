"""Pages for who decides: a round's story, and the weekly mail."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from feedbackhub.core.errors import DomainError
from feedbackhub.leaderboard.ab_views import pdf
from feedbackhub.projects.access import READ_REPORTS
from feedbackhub.projects.models import Role
from feedbackhub.projects.pages import project_page
from feedbackhub.rounds.selectors import round_get

from . import digest
from .story import story


@login_required
@project_page(READ_REPORTS)
def round_story(request: HttpRequest, number: int) -> HttpResponse:
    """Votes → dataset → curves → verdict, on one page that prints well, and ?as=pdf."""
    made = round_get(project=request.project, number=number)
    found = story(made)
    if request.GET.get("as") == "pdf":
        from .story_paper import story_paper  # letters and drawing take a third of a second to import

        return pdf(story_paper(found), f"{request.project.slug}-round-{number}.pdf")
    return render(request, "overview/story.html", {**found, "is_admin": Role.ADMIN in request.roles})


@require_POST
@login_required
@project_page(READ_REPORTS)
def digest_change(request: HttpRequest) -> HttpResponse:
    """Ask for the weekly mail, or stop it."""
    try:
        if request.POST.get("wanted") == "1":
            found = digest.digest_subscribe(
                project=request.project, user=request.user, address=request.POST.get("address", "")
            )
            messages.success(request, _("The first mail comes to %(address)s in a week.") % {"address": found.address})
        else:
            digest.digest_unsubscribe(project=request.project, user=request.user)
            messages.success(request, _("No more weekly mail from this project."))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("overview:project", request.project.slug)


@csrf_exempt  # a mail program posts here by itself (RFC 8058); the signed token is what allows it
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """The link in a mail: a page that asks, for scanners open every link; a POST ends the subscription."""
    subscription = digest.subscription_of(token)
    if request.method == "POST" and subscription is not None:
        digest.digest_unsubscribe(project=subscription.project, user=subscription.user)
        subscription = None
    return render(request, "overview/unsubscribe.html", {"subscription": subscription})
