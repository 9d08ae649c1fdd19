from django import forms

from .models import Project, Role


class SettingsForm(forms.ModelForm):
    """What an admin may change of a project at any time."""

    class Meta:
        model = Project
        fields = ("name", "guidelines", "judgments_per_task", "order", "explore_percent")
        widgets = {"guidelines": forms.Textarea(attrs={"rows": 10})}
        labels = {"order": "Which pair comes next", "explore_percent": "Percent of pairs drawn at random"}
        help_texts = {
            "judgments_per_task": "How many raters judge each task that is made from now on.",
            "order": "Among equal priorities. The second asks first about models that the votes cannot tell apart.",
            "explore_percent": "With that second order: so that every pair is asked about sometimes.",
        }

    def _post_clean(self):
        """project_change checks and writes; the instance stays as it is."""


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=Role.choices)
    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="For somebody new. Leave it out for who is here already, or for a program that has only a token.",
    )
