from django import forms
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.selectors import models_of
from feedbackhub.projects.models import Project

from .models import Chat
from .services import DECODING, MESSAGE_AT_MOST, TOKENS_AT_MOST


class ChatForm(forms.Form):
    a = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("One model"))
    b = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), label=_("The other"))
    blind = forms.BooleanField(
        required=False,
        initial=True,
        label=_("Blind"),
        help_text=_(
            "Sides are drawn and names hidden until you ask for them. Only what is said blind counts as a vote."
        ),
    )
    follows = forms.ChoiceField(
        choices=Chat.Follows.choices,
        initial=Chat.Follows.PREFERRED,
        label=_("After each turn"),
        help_text=_("A pair counts as a vote where both were asked the same."),
    )

    def __init__(self, *args, project: Project, **kwargs):
        super().__init__(*args, **kwargs)
        kinds = (ModelVersion.Kind.LOCAL, ModelVersion.Kind.HUB)
        models = models_of(project).filter(role=ModelVersion.Purpose.POLICY, kind__in=kinds)
        self.fields["a"].queryset = self.fields["b"].queryset = models


class MessageForm(forms.Form):
    message = forms.CharField(max_length=MESSAGE_AT_MOST, widget=forms.Textarea, label=_("Message"))
    temperature = forms.FloatField(
        min_value=0, max_value=5, required=False, initial=DECODING["temperature"], label=_("Temperature")
    )
    max_new_tokens = forms.IntegerField(
        min_value=1,
        max_value=TOKENS_AT_MOST,
        required=False,
        initial=DECODING["max_new_tokens"],
        label=_("Tokens at most"),
    )
