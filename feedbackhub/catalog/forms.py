from django import forms
from django.utils.translation import gettext_lazy as _

from .decoding import DECODING
from .models import ModelVersion, Split

KIND_HELP = _("Local: weights in a folder of this machine. Hub: an id on the model hub. OpenAI: someone else's server.")


# Decoding setting → (label, help)
DECODING_WORDS = {
    "system": (_("System prompt"), _("The system prompt put before every conversation.")),
    "temperature": (_("Temperature"), _("0 is greedy.")),
    "top_p": (_("Top-p"), _("The share of probability that sampling draws from.")),
    "repetition_penalty": (_("Repetition penalty"), _("1 is none.")),
    "max_new_tokens": (_("Max new tokens"), _("Tokens of an answer at most.")),
    "seed": (_("Seed"), _("Of the sampling.")),
}


class ModelsField(forms.ModelMultipleChoiceField):
    """Models of a project, each by a checkbox; the form sets which."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, **kwargs):
        super().__init__(ModelVersion.objects.none(), **kwargs)

    def clean(self, value):
        try:
            return super().clean(value)
        except OverflowError:  # a number beyond SQLite's, which Django lets through to it
            shown = {"value": max(value, key=len)}
            raise forms.ValidationError(self.error_messages["invalid_choice"], "invalid_choice", shown) from None


class PromptFilterForm(forms.Form):
    """The prompts page's query string."""

    q = forms.CharField(required=False, label=_("Search"), widget=forms.TextInput(attrs={"type": "search"}))
    split = forms.ChoiceField(choices=[("", _("All splits")), *Split.choices], required=False, label=_("Split"))
    category = forms.ChoiceField(required=False, label=_("Category"))

    def __init__(self, *args, categories: list[str], **kwargs):
        super().__init__(*args, **kwargs)
        # "=" before the name, so that prompts without a category can be asked for too.
        named = [("=" + name, name or _("(no category)")) for name in categories]
        self.fields["category"].choices = [("", _("All categories")), *named]

    def query(self) -> dict:
        """Arguments of selectors.prompts_of; whatever is not a valid choice filters nothing."""
        self.is_valid()
        chosen = self.cleaned_data.get("category") or ""
        return {
            "search": self.cleaned_data.get("q") or "",
            "split": self.cleaned_data.get("split") or "",
            "category": chosen[1:] if chosen else None,
        }


class ModelForm(forms.Form):
    """A model version to be registered; the service checks what it names."""

    name = forms.CharField(
        max_length=120, label=_("Name"), help_text=_("How it is called on leaderboards. Raters never see it.")
    )
    kind = forms.ChoiceField(choices=ModelVersion.Kind.choices, label=_("Kind"), help_text=KIND_HELP)
    base = forms.CharField(
        required=False,
        max_length=500,
        label=_("Base"),
        help_text=_(
            "Local: a folder with config.json and *.safetensors, or the name of a local model. "
            "Hub: org/name. OpenAI: the model's name there. Imported: leave empty."
        ),
    )
    adapter = forms.CharField(
        required=False,
        max_length=500,
        label=_("Adapter"),
        help_text=_("A folder with adapter_config.json and adapter_model.safetensors that was trained on this base."),
    )
    endpoint = forms.CharField(
        required=False,
        max_length=500,
        label=_("Endpoint"),
        help_text=_("OpenAI only: the URL, like https://api.openai.com/v1"),
    )
    role = forms.ChoiceField(
        choices=ModelVersion.Purpose.choices,
        label=_("Role"),
        help_text=_("A policy answers prompts; a reward model scores answers."),
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name, (kind, least, most, _what) in DECODING.items():
            self.fields[f"decoding_{name}"] = _decoding_field(name, kind, least, most)

    def source_fields(self) -> list:
        return [field for field in self if not field.name.startswith("decoding_")]

    def decoding_numbers(self) -> list:
        return [self[f"decoding_{name}"] for name, (kind, *_) in DECODING.items() if kind is not str]

    def decoding(self) -> dict:
        """The decoding settings that were filled in."""
        filled = {name: self.cleaned_data[f"decoding_{name}"] for name in DECODING}
        return {name: value for name, value in filled.items() if value not in (None, "")}

    def service_arguments(self) -> dict:
        fields = ("name", "kind", "base", "adapter", "endpoint", "role")
        return {**{name: self.cleaned_data[name] for name in fields}, "decoding": self.decoding()}


def _decoding_field(name: str, kind: type, least, most) -> forms.Field:
    label, help_text = DECODING_WORDS[name]
    common = {"required": False, "label": label, "help_text": help_text}
    if kind is str:
        return forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), strip=False, **common)
    if kind is int:
        return forms.IntegerField(min_value=least, max_value=most, **common)
    widget = forms.NumberInput(attrs={"step": "any"})
    return forms.FloatField(min_value=least, max_value=most, widget=widget, **common)
