from django.conf import settings as site
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import ModelVersion, Output
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment
from feedbackhub.runs.models import Run


class Side(models.TextChoices):
    """Where an answer stands. Side, column and place in a judgment are one: left is A, right is B."""

    LEFT = "left", "A"
    RIGHT = "right", "B"


class Chat(models.Model):
    """One person's conversation with two models at once, side by side."""

    class Follows(models.TextChoices):
        """What both models are told of the answers so far."""

        PREFERRED = "preferred", _("Both go on from the answer that was preferred")
        OWN = "own", _("Each goes on from its own answers")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="chats")
    left = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    right = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    is_blind = models.BooleanField(
        default=True, help_text="Sides were drawn, names are hidden until they are asked for."
    )
    revealed_at = models.DateTimeField(null=True)
    follows = models.CharField(max_length=9, choices=Follows.choices, default=Follows.PREFERRED)
    # The run whose process has the models loaded, or had them last.
    run = models.OneToOneField(Run, on_delete=models.PROTECT, null=True, related_name="chat")
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="chats")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"chat {self.pk}"

    @property
    def names_hidden(self) -> bool:
        return self.is_blind and self.revealed_at is None

    def model_of(self, side: str) -> ModelVersion:
        return self.left if side == Side.LEFT else self.right


class Turn(models.Model):
    """A message, and what was said of its two answers."""

    class Prefer(models.TextChoices):
        LEFT = "left", _("A better")
        RIGHT = "right", _("B better")
        TIE = "tie", _("Tie")
        NONE = "none", _("Both bad")

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveIntegerField()
    message = models.TextField()
    asked = models.JSONField(help_text="{side: the conversation as that model was asked it}")
    decoding = models.JSONField(default=dict, help_text="temperature, max_new_tokens of both")
    drawn = models.CharField(
        max_length=5, choices=Side.choices, help_text="Whose answer goes on when none is preferred."
    )
    prefer = models.CharField(max_length=5, choices=Prefer.choices, blank=True)
    judgment = models.ForeignKey(Judgment, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chat", "number"], name="turns_are_numbered")]
        ordering = ["chat", "number"]

    def __str__(self) -> str:
        return f"turn {self.number} of {self.chat}"


class Answer(models.Model):
    """One model's answer in a turn; finished once there is a text or an error."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="answers")
    side = models.CharField(max_length=5, choices=Side.choices)
    run = models.ForeignKey(
        Run, on_delete=models.PROTECT, related_name="chat_answers", help_text="That was asked last."
    )
    seed = models.BigIntegerField()
    text = models.TextField(blank=True)
    tokens = models.PositiveIntegerField(null=True)
    latency_ms = models.FloatField(null=True)
    finish_reason = models.CharField(max_length=20, blank=True, help_text="stop, length, or stopped by the person.")
    error = models.TextField(blank=True)
    finished_at = models.DateTimeField(null=True)
    output = models.OneToOneField(
        Output, on_delete=models.PROTECT, null=True, related_name="chat_answer", help_text="Once it was judged."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["turn", "side"], name="a_side_answers_once")]
        ordering = ["turn", "side"]

    def __str__(self) -> str:
        return f"answer {self.get_side_display()} in {self.turn}"
