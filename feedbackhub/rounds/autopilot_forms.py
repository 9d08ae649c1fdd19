from django import forms
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of

from .autopilot import EVERY, autopilot_recipes
from .models import Autopilot


class AutopilotForm(forms.Form):
    """On or off, how often, with what. The service validates; this reads and explains."""

    is_on = forms.BooleanField(
        required=False, label=_("On"), help_text=_("It launches rounds and promotes models by itself, and logs why.")
    )
    every = forms.IntegerField(
        min_value=EVERY[0],
        max_value=EVERY[1],
        label=_("New judgments before a round"),
        help_text=_("By people, in force, unknown to any earlier round; with fewer than about 200, expect noise."),
    )
    recipe = forms.ChoiceField(label=_("Recipe"), help_text=_("With the recipe’s default settings."))
    start = forms.ModelChoiceField(
        queryset=ModelVersion.objects.none(),
        required=False,
        label=_("Champion to begin with"),
        help_text=_("Until a model is promoted; after that, rounds start from the champion."),
    )

    def __init__(self, *args, pilot: Autopilot, champion: ModelVersion | None, **kwargs):
        initial = {"is_on": pilot.is_on, "every": pilot.every, "recipe": pilot.recipe, "start": pilot.start_id}
        super().__init__(*args, initial=initial, **kwargs)
        self.fields["recipe"].choices = [(name, name.upper()) for name in autopilot_recipes()]
        trainable = models_of(pilot.project).filter(kind__in=("local", "hub"), role="policy")
        self.fields["start"].queryset = trainable
        if champion is not None:
            del self.fields["start"]
