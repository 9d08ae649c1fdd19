from django import forms
from django.utils.translation import gettext_lazy as _

from .fields import CriteriaField
from .models import Project, Role


class SettingsForm(forms.ModelForm):
    """What an admin may change of a project at any time."""

    criteria = CriteriaField()

    class Meta:
        model = Project
        fields = (
            *("name", "guidelines", "criteria", "judgments_per_task", "deadline", "order", "explore_percent"),
            *("gold_percent", "repeat_percent", "identity_leaks"),
            "smallest_difference",
        )
        widgets = {
            "guidelines": forms.Textarea(attrs={"rows": 10}),
            "deadline": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        }
        labels = {
            "name": _("Name"),
            "guidelines": _("Guidelines"),
            "judgments_per_task": _("Judgments per task"),
            "deadline": _("Deadline"),
            "order": _("Which pair comes next"),
            "explore_percent": _("Percent of pairs drawn at random"),
            "gold_percent": _("Percent of tasks whose answer is known"),
            "repeat_percent": _("Percent of tasks asked again, sides turned"),
            "identity_leaks": _("Answers that say who wrote them"),
            "smallest_difference": _("Smallest difference worth having, in points of win rate"),
        }
        help_texts = {
            "guidelines": _("Markdown. What raters should look for."),
            "deadline": _(
                "No task is given out after it; what raters hold may still be judged. Leave it out for none."
            ),
            "gold_percent": _(
                "Gold items and attention checks, once there are some (page Checks). Raters are not told."
            ),
            "repeat_percent": _("How steady a rater is with themselves. Raters are not told; it counts nowhere else."),
            "judgments_per_task": _("How many raters judge each task that is made from now on."),
            "order": _("Among equal priorities. The last asks first about models that the votes cannot tell apart."),
            "explore_percent": _("With that last order: so that every pair is asked about sometimes."),
            "identity_leaks": _(
                "“I am Claude, made by …”. Hiding shows raters “[name hidden]” for each name; what is stored stays. "
                "The third makes no tasks of such answers from now on."
            ),
            "smallest_difference": _(
                "A/B reports call less than this no difference worth having. To show that takes about 1,400 votes at 5 "
                "points, and 10,000 at 2."
            ),
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["identity_leaks"].required = False
        self.fields["smallest_difference"].required = False

    def clean_identity_leaks(self) -> str:
        return self.cleaned_data["identity_leaks"] or self.instance.identity_leaks

    def clean_smallest_difference(self) -> float:
        given = self.cleaned_data["smallest_difference"]
        return self.instance.smallest_difference if given is None else given

    def _post_clean(self):
        """project_change checks and writes; the instance stays as it is."""


class GroupForm(forms.Form):
    """A group of raters with its share."""

    name = forms.CharField(max_length=60, label=_("Name of the group"))
    weight = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=1,
        label=_("Weight"),
        help_text=_("Its share, relative to the other groups that may judge a prompt."),
    )
    languages = forms.CharField(
        required=False,
        max_length=200,
        label=_("Languages"),
        help_text=_("Of the prompts that it may judge: en, de. Leave it out for all."),
    )


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150, label=_("Username"))
    role = forms.ChoiceField(choices=Role.choices, label=_("Role"))
    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        label=_("Password"),
        help_text=_("For somebody new. Leave it out for who is here already, or for a program that has only a token."),
    )
