from django.db.models import Count, QuerySet

from feedbackhub.projects.models import Project

from .models import Delivery, DeliveryState


def deliveries_of(project: Project, state: str = "") -> QuerySet[Delivery]:
    """The project's ledger, latest first."""
    ledger = Delivery.objects.filter(project=project).order_by("-id")
    return ledger.filter(state=state) if state in DeliveryState.values else ledger


def delivery_counts(project: Project) -> dict[str, int]:
    """State → how many deliveries."""
    counts = dict(Delivery.objects.filter(project=project).order_by().values_list("state").annotate(n=Count("id")))
    return {state: counts.get(state, 0) for state in DeliveryState.values}
