from django import forms
from django.utils.translation import gettext_lazy as _

from feedbackhub.projects.fields import CriteriaField
from feedbackhub.projects.models import TaskKind


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=120, label=_("Name"))
    slug = forms.CharField(
        max_length=60, label=_("Slug"), help_text=_("Small letters, digits and hyphens; it stands in addresses.")
    )
    guidelines = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        label=_("Guidelines"),
        help_text=_("What raters should look for. Markdown."),
    )
    task_kind = forms.ChoiceField(choices=TaskKind.choices, label=_("Kind of task"))
    criteria = CriteriaField()
    judgments_per_task = forms.IntegerField(
        min_value=1,
        max_value=50,
        initial=1,
        label=_("Judgments per task"),
        help_text=_("How many raters judge each task."),
    )
