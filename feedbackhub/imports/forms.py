import json

from django import forms

from .models import Import
from .readers import EXTENSIONS


class ImportForm(forms.Form):
    """A file to be imported; the service says what of it cannot be right."""

    kind = forms.ChoiceField(choices=Import.Kind.choices)
    file = forms.FileField(
        allow_empty_file=True,
        help_text=f"{', '.join(EXTENSIONS)}. The same file twice makes nothing new.",
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.gz,.csv,.parquet,.zip"}),
    )
    map = forms.CharField(
        required=False,
        label="Field names",
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": '{"prompt": "question.text"}'}),
        help_text="Where the file calls things otherwise: JSON of our field → theirs. Dots go into nested fields; "
        'an empty name leaves a field out: {"split": ""}.',
    )
    template = forms.CharField(
        required=False,
        strip=False,
        label="Prompt template",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Summarise this dialogue:\n\n{dialogue}"}),
        help_text="Makes the prompt from the file's own fields. Write {{ and }} for braces that are meant as such.",
    )

    def clean_map(self) -> dict:
        text = self.cleaned_data["map"].strip()
        try:
            return json.loads(text) if text else {}
        except ValueError as error:
            raise forms.ValidationError(f"Not JSON: {error}") from error
