from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from feedbackhub.core.json_reading import json_read

from .models import Import
from .readers import EXTENSIONS


class ImportForm(forms.Form):
    """A file to be imported; the service says what of it cannot be right."""

    kind = forms.ChoiceField(choices=Import.Kind.choices, label=_("Kind"))
    file = forms.FileField(
        allow_empty_file=True,
        label=_("File"),
        help_text=format_lazy(
            _("{extensions}. The same file twice makes nothing new."), extensions=", ".join(EXTENSIONS)
        ),
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.gz,.csv,.parquet,.zip"}),
    )
    map = forms.CharField(
        required=False,
        label=_("Field names"),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": '{"prompt": "question.text"}'}),
        help_text=_(
            "Where the file calls things otherwise: JSON of our field → theirs. Dots go into nested fields; "
            'an empty name leaves a field out: {"split": ""}.'
        ),
    )
    template = forms.CharField(
        required=False,
        strip=False,
        label=_("Prompt template"),
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Summarise this dialogue:\n\n{dialogue}"}),
        help_text=_("Makes the prompt from the file's own fields. Write {{ and }} for braces that are meant as such."),
    )

    def clean_map(self) -> dict:
        text = self.cleaned_data["map"].strip()
        try:
            return json_read(text) if text else {}
        except ValueError as error:
            raise forms.ValidationError(_("Not JSON: %(problem)s"), params={"problem": error}) from error
