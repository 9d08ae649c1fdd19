"""Numbers as people read them."""

from django import template

register = template.Library()


@register.filter
def percent(value: float | None) -> str:
    """0.123 → 12 %; None → –."""
    return "–" if value is None else f"{100 * value:.0f} %"
