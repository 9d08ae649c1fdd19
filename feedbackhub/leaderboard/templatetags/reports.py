"""Of reports: numbers as exactly as they are known."""

from django import template

from feedbackhub.leaderboard import ab_words

register = template.Library()


@register.filter
def about(votes: int) -> str:
    return ab_words.about(votes)
