from django import forms
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.forms import ModelsField
from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of
from feedbackhub.projects.models import Project

from .models import Suite
from .selectors import latest_suites
from .suite_reading import SuiteError, definition_parse, items_parse

FILE_BYTES = 20_000_000


class EvaluationForm(forms.Form):
    suite = forms.ChoiceField(label=_("Suite"))
    models = ModelsField(
        label=_("Models"),
        help_text=_("All are measured on the same prompts. A tuned model is measured on held-out prompts only."),
    )

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        own = [(suite.name, str(suite)) for suite in latest_suites(project)]
        self.fields["suite"].choices = [*Suite.choices, *([(_("Suites of this project"), own)] if own else [])]
        self.fields["models"].queryset = models_of(project).filter(role=ModelVersion.Purpose.POLICY)


class SuiteForm(forms.Form):
    name = forms.CharField(max_length=80, label=_("Name"), help_text=_("The same name again makes its next version."))
    definition = forms.CharField(
        label=_("Definition"),
        widget=forms.Textarea(attrs={"rows": 12, "class": "mono", "spellcheck": "false"}),
        help_text=_("YAML: rules and settings, or the fields of a task of lm-evaluation-harness."),
    )
    items = forms.CharField(
        label=_("Items"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false"}),
        help_text=_("JSON Lines: one item a line."),
    )
    file = forms.FileField(
        label=_("Items from a file"), required=False, help_text=_("A .jsonl file, in place of the box above.")
    )

    def clean_definition(self) -> dict:
        return self._read(definition_parse, self.cleaned_data["definition"])

    def clean_items(self) -> list[dict]:
        return self._read(items_parse, self.cleaned_data["items"])

    def clean_file(self) -> list[dict] | None:
        file = self.cleaned_data["file"]
        if not file:
            return None
        if file.size > FILE_BYTES:
            raise forms.ValidationError(_("The file is larger than 20 MB."))
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise forms.ValidationError(_("The file is no text in UTF-8.")) from None
        return self._read(items_parse, text)

    def _read(self, parse, text: str):
        try:
            return parse(text)
        except SuiteError as error:
            raise forms.ValidationError(str(error)) from None
