from django import forms
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.forms import ModelsField
from feedbackhub.catalog.generations import ANSWERS_AT_MOST
from feedbackhub.catalog.models import ModelVersion, Split
from feedbackhub.catalog.selectors import models_of
from feedbackhub.projects.models import Project

from .selectors import reward_models_of

SPLITS = [("", _("All"))] + Split.choices


class BestOfForm(forms.Form):
    model = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("Model"))
    reward_model = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("Reward model"))
    n = forms.IntegerField(
        min_value=2,
        max_value=ANSWERS_AT_MOST,
        initial=4,
        label=_("Answers a prompt (n)"),
        help_text=_("Sampled at temperature 1, unless the model has one of its own."),
    )
    split = forms.ChoiceField(choices=SPLITS, required=False, label=_("Prompts of the split"))
    limit = forms.IntegerField(min_value=1, required=False, initial=50, label=_("Prompts at most"))
    pairs = forms.BooleanField(
        required=False,
        label=_("Ask raters about the best against the worst"),
        help_text=_("Blind pairs that teach the reward model where it is right."),
    )

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        kinds = (ModelVersion.Kind.LOCAL, ModelVersion.Kind.HUB)
        writers = models_of(project).filter(role=ModelVersion.Purpose.POLICY, kind__in=kinds)
        self.fields["model"].queryset = writers
        self.fields["reward_model"].queryset = reward_models_of(project)


class ScoreForm(forms.Form):
    models = ModelsField(
        required=False,
        label=_("Outputs of"),
        help_text=_("None chosen: of all models."),
    )
    split = forms.ChoiceField(choices=SPLITS, required=False, label=_("Prompts of the split"))

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["models"].queryset = models_of(project).filter(outputs__prompt__project=project).distinct()
