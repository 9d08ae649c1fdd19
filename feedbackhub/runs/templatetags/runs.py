from django import template

register = template.Library()


@register.filter
def duration(seconds: float | None) -> str:
    """`48 s`, `12 min`, `2 h 5 min`: as precise as an estimate is."""
    if seconds is None:
        return ""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
