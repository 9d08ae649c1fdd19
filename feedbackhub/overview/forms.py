from django import forms

from feedbackhub.projects.models import TaskKind


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=120)
    slug = forms.CharField(max_length=60, help_text="Small letters, digits and hyphens; it stands in addresses.")
    guidelines = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="What raters should look for. Markdown.",
    )
    task_kind = forms.ChoiceField(
        choices=[choice for choice in TaskKind.choices if choice[0] != TaskKind.SCORES], label="Kind of task"
    )
    judgments_per_task = forms.IntegerField(
        min_value=1, max_value=50, initial=1, help_text="How many raters judge each task."
    )
