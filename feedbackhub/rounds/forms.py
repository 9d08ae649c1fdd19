"""Forms of the rounds room: freezing a dataset, drafting a round. The services validate; these read and explain."""

from django import forms
from django.conf import settings as site
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment

from .mixtures import RECIPES as MIXED
from .models import PreferenceDataset
from .recipes import DATASET_KIND, ONLINE, recipes, schema

# The settings that a person sees first; the others wait behind "more".
FIRST = ("method", "epochs", "max_steps", "learning_rate", "beta", "loss", "batch_size", "lora_r")
MIXED_AT_MOST = 12  # datasets that are offered for a mixture, the latest
FIRST_ONLINE = ("max_new_tokens", "num_generations")


class FreezeForm(forms.Form):
    kind = forms.ChoiceField(
        choices=PreferenceDataset.Kind.choices,
        label=_("Kind"),
        help_text=_("Pairs for DPO, thumbs for KTO, demonstrations for SFT, prompts for online methods."),
    )
    sources = forms.MultipleChoiceField(
        choices=Judgment.Source.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label=_("Sources"),
        help_text=_("None ticked: all."),
    )
    categories = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label=_("Categories"),
        help_text=_("None ticked: all."),
    )
    min_margin = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        label=_("Least margin"),
        help_text=_("Share of votes for the chosen answer minus for the rejected one; 1 takes only unanimous pairs."),
    )

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        found = project.prompts.exclude(category="").order_by("category").values_list("category", flat=True).distinct()
        self.fields["categories"].choices = [(name, name) for name in found]

    def filters(self) -> dict:
        """What was filled in, as the service reads it."""
        given = {name: self.cleaned_data[name] for name in ("sources", "categories", "min_margin")}
        return {name: value for name, value in given.items() if value not in ([], None, "")}


class RoundForm(forms.Form):
    """Recipe, base, dataset, and the recipe's own settings, as `training` publishes them."""

    recipe = forms.ChoiceField(label=_("Recipe"))
    base_model = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("Base model"))
    dataset = forms.ModelChoiceField(queryset=PreferenceDataset.objects.none(), label=_("Dataset"))

    def __init__(self, *args, project: Project, recipe: str, **kwargs):
        super().__init__(*args, **kwargs)
        self.recipe = recipe
        self.fields["recipe"].choices = [(name, name.upper()) for name in recipes()]
        self.fields["recipe"].initial = recipe
        trainable = models_of(project).filter(kind__in=("local", "hub"), role="policy")
        self.fields["base_model"].queryset = trainable
        self.fields["base_model"].initial = trainable.filter(name=site.EMBEDDED_MODEL).first() or trainable.first()
        datasets = PreferenceDataset.objects.filter(project=project, kind=DATASET_KIND[recipe]).order_by("-pk")
        self.fields["dataset"].queryset = datasets
        self.fields["dataset"].initial = datasets.first()
        self.fields["dataset"].label_from_instance = dataset_label
        self.mixed = list(datasets[:MIXED_AT_MOST]) if recipe in MIXED and datasets.count() > 1 else []
        for one in self.mixed:
            self.fields[f"weight_{one.pk}"] = _weight(one)
        if recipe in ONLINE:
            self.fields["reward_model"] = _reward_model(project)
            self.fields["audit_model"] = _audit_model(project)
        for name, rule in schema()[recipe]["settings"].items():
            self.fields[f"setting_{name}"] = _field(name, rule)

    def weights(self) -> list:
        """The fields of a mixture's weights."""
        return [self[f"weight_{one.pk}"] for one in self.mixed]

    def some_weight(self) -> bool:
        """Whether one was typed, be it wrong: then it is to be seen."""
        return any(field.value() or field.errors for field in self.weights())

    def mixture(self) -> list[tuple[PreferenceDataset, float]]:
        """(dataset, weight) of those that got one, the chosen dataset first; nothing where only that one takes part."""
        chosen = self.cleaned_data["dataset"]
        given = {one: self.cleaned_data.get(f"weight_{one.pk}") for one in self.mixed}
        others = [(one, weight) for one, weight in given.items() if weight and one != chosen]
        return [(chosen, given.get(chosen) or 1.0), *others] if others else []

    def settings(self) -> dict:
        """The settings that differ from the defaults."""
        rules = schema()[self.recipe]["settings"]
        given = {name: self.cleaned_data.get(f"setting_{name}") for name in rules}
        return {name: value for name, value in given.items() if value not in (None, "", rules[name]["default"])}

    def first_settings(self) -> list:
        return [self[f"setting_{name}"] for name in self._first() if f"setting_{name}" in self.fields]

    def more_settings(self) -> list:
        names = [name for name in schema()[self.recipe]["settings"] if name not in self._first()]
        return [self[f"setting_{name}"] for name in names]

    def _first(self) -> tuple[str, ...]:
        return first_settings(self.recipe)


def first_settings(recipe: str) -> tuple[str, ...]:
    """The names of those that a person looks at first; not every recipe has them all."""
    return FIRST + FIRST_ONLINE if recipe in ONLINE else FIRST


def _weight(dataset: PreferenceDataset) -> forms.FloatField:
    widget = forms.NumberInput(attrs={"step": "any", "min": 0})
    return forms.FloatField(required=False, min_value=0, widget=widget, label=dataset_label(dataset))


def _reward_model(project: Project) -> forms.ModelChoiceField:
    found = models_of(project).filter(role=ModelVersion.Purpose.REWARD).order_by("-pk")
    return forms.ModelChoiceField(
        queryset=found,
        required=False,
        initial=found.first(),
        empty_label=_("None: by rules alone"),
        label=_("Reward model"),
        help_text=_(
            "Scores the answers that the model writes as it learns. One of the same base needs no memory of its own."
        ),
    )


def _audit_model(project: Project) -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        queryset=models_of(project).filter(role=ModelVersion.Purpose.REWARD).order_by("-pk"),
        required=False,
        empty_label=_("None"),
        label=_("Audit"),
        help_text=_(
            "A second reward model, best of other judgments, by which the model is not paid. When the reward rises "
            "while it likes the answers to validation prompts less, the round stops and goes back to its best weights."
        ),
    )


def dataset_label(dataset: PreferenceDataset) -> str:
    counts = dataset.counts
    words = _("#%(number)s · %(rows)s rows · %(judgments)s judgments · %(hash)s")
    given = {"rows": counts["rows"], "judgments": counts["judgments"], "hash": dataset.content_hash[:8]}
    return words % {"number": dataset.pk, **given}


def _field(name: str, rule: dict) -> forms.Field:
    # A setting's name stays as it is in a run's files; its help is translated (bin/messages.py reads the schema).
    label = name.replace("_", " ").capitalize().replace("Lora", "LoRA")
    explained = rule["help"]
    common = {"label": label, "required": False, "initial": rule["default"], "help_text": _(explained)}
    if rule.get("choices"):
        return forms.ChoiceField(choices=[(choice, choice) for choice in rule["choices"]], **common)
    kind = rule["type"].split("|")[0].strip()
    if kind in ("bool", "boolean"):
        return forms.BooleanField(**common)
    if kind in ("str", "string"):
        return forms.CharField(**common)
    bounds = {"min_value": rule.get("minimum"), "max_value": rule.get("maximum")}
    if kind in ("int", "integer"):
        return forms.IntegerField(**common, **bounds)
    return forms.FloatField(**common, **bounds, widget=forms.NumberInput(attrs={"step": "any"}))
