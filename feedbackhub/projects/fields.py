"""Form fields that several rooms use."""

from django import forms
from django.utils.translation import gettext_lazy as _

from feedbackhub.core.errors import DomainError

from .criteria import criteria_check, criteria_read, criteria_written


class CriteriaField(forms.CharField):
    """Criteria of a rubric, one a line; cleaned they are the list that services take."""

    def __init__(self, **kwargs):
        super().__init__(
            required=False,
            label=_("Criteria"),
            help_text=_("For scores, one a line: key | label | 1 to 5 | 1: all wrong; 5: all right"),
            widget=forms.Textarea(attrs={"rows": 4}),
            **kwargs,
        )

    def prepare_value(self, value):
        return criteria_written(value) if isinstance(value, list) else value

    def clean(self, value):
        text = super().clean(value)
        try:
            criteria = criteria_read(text)
            criteria_check(criteria)
        except DomainError as error:
            raise forms.ValidationError(error.message) from error
        return criteria
