from django.conf import settings as site
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import Generation, ModelVersion, Prompt
from feedbackhub.evaluation.models import Evaluation
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment
from feedbackhub.runs.models import Run


class PreferenceDataset(models.Model):
    """Rows frozen from judgments at a moment: what was chosen, what was left out and why, and a content hash."""

    class Kind(models.TextChoices):
        PREFERENCE = "preference", _("Preference pairs")
        UNPAIRED = "unpaired", _("Thumbs (unpaired)")
        SFT = "sft", _("Demonstrations (SFT)")
        PROMPTS = "prompts", _("Prompts only")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="datasets")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    filters = models.JSONField(default=dict, help_text="The query that chose the rows.")
    counts = models.JSONField(default=dict, help_text="Rows by split, prompts, judgments, raters.")
    excluded = models.JSONField(default=dict, help_text="Reason → how many were left out for it.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the rows, in order, as exported.")
    frozen_up_to = models.ForeignKey(Judgment, on_delete=models.PROTECT, null=True, related_name="+")
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"dataset {self.pk} ({self.kind}, {self.content_hash[:8]})"


class PreferenceRow(models.Model):
    """One frozen row, as the `trl` export has it, with the votes behind it."""

    dataset = models.ForeignKey(PreferenceDataset, on_delete=models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    split = models.CharField(max_length=10, help_text="train or validation, never test.")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="+")
    data = models.JSONField()
    judgments = models.JSONField(help_text="Ids of the judgments that this row rests on.")
    margin = models.FloatField(null=True, help_text="Share of votes for, minus against, of the raters of this pair.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "position"], name="rows_are_numbered")]
        ordering = ["dataset", "position"]

    def __str__(self) -> str:
        return f"row {self.position} of {self.dataset}"


class Round(models.Model):
    """A tuning round: a recipe, a base, a dataset, settings; its run; and the model version that it made."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField(help_text="Counted within the project.")
    recipe = models.CharField(max_length=10)
    base_model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="rounds_from")
    dataset = models.ForeignKey(PreferenceDataset, on_delete=models.PROTECT, related_name="rounds")
    reward_model = models.ForeignKey(
        ModelVersion,
        on_delete=models.PROTECT,
        null=True,
        related_name="rounds_rewarded",
        help_text="Whose opinion of its own answers the model learns from (grpo, rloo, ppo).",
    )
    audit_model = models.ForeignKey(
        ModelVersion,
        on_delete=models.PROTECT,
        null=True,
        related_name="rounds_audited",
        help_text="A second reward model that looks on: it stops the round when the reward rises by what it dislikes.",
    )
    settings = models.JSONField(default=dict)
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="round")
    model = models.OneToOneField(ModelVersion, on_delete=models.PROTECT, null=True, related_name="made_by_round")
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="rounds_are_numbered")]

    def __str__(self) -> str:
        return f"round {self.number} ({self.recipe})"

    @property
    def datasets(self) -> list[PreferenceDataset]:
        """What it learns from: its dataset, or all of its mixture."""
        return [part.dataset for part in self.parts.all()] or [self.dataset]


class MixturePart(models.Model):
    """A dataset in a round that learns from several (its first is the round's own), and how much it counts."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="parts")
    dataset = models.ForeignKey(PreferenceDataset, on_delete=models.PROTECT, related_name="parts")
    weight = models.FloatField(help_text="How often its rows are drawn, relative to the others’ weights.")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["round", "dataset"], name="one_part_a_dataset")]

    def __str__(self) -> str:
        return f"#{self.dataset_id} × {self.weight:g}"


class FollowUp(models.Model):
    """What comes after a round, in this order: answers of child and parent, their evaluation, blind pairs, what it
    forgot, what became of its weights."""

    class Step(models.TextChoices):
        ANSWERS = "answers", _("The new model's answers to held-out prompts")
        PARENT = "parent", _("Its parent's answers to the same prompts")
        EVALUATION = "evaluation", _("Automatic metrics")
        PAIRS = "pairs", _("Blind pairs for raters")
        FORGETTING = "forgetting", _("What it forgot of general language")
        WEIGHTS = "weights", _("The shape of its weights")

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    UNFINISHED = (Status.PENDING, Status.RUNNING)

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="follow_ups")
    step = models.CharField(max_length=10, choices=Step.choices)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    generation = models.OneToOneField(Generation, on_delete=models.PROTECT, null=True, related_name="follow_up")
    evaluation = models.OneToOneField(Evaluation, on_delete=models.PROTECT, null=True, related_name="follow_up")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, null=True, related_name="follow_up")
    tasks_created = models.PositiveIntegerField(default=0)
    message = models.TextField(blank=True, help_text="What was done, or why it could not be.")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["round", "step"], name="a_step_follows_a_round_once")]

    def __str__(self) -> str:
        return f"{self.step} after {self.round} ({self.status})"


class RewardScoring(models.Model):
    """A reward model looks at open pairs: how likely each answer is preferred, and which pairs it is unsure of."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="reward_scorings")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="scorings")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="reward_scoring")
    tasks = models.JSONField(default=list, help_text="[[task id, output id, output id]] as they were looked at.")
    chances = models.JSONField(
        default=dict, help_text="{task id: [output id, chance that it is preferred, doubt in bits]}."
    )
    raised = models.JSONField(default=list, help_text="Ids of the tasks that were put before others.")
    applied_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.model} on {len(self.tasks)} pairs"


class RoundEstimate(models.Model):
    """A rehearsal of a draft, measured: what the round would take."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="estimates")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="round_estimate")
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"estimate of {self.round}"


class SettingsSearch(models.Model):
    """Settings for a draft, searched with short runs that the validation rows judge (search.py)."""

    class Status(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        STOPPED = "stopped", _("Stopped")

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="searches")
    steps = models.PositiveIntegerField(help_text="Optimiser steps of a try.")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.RUNNING)
    message = models.TextField(blank=True, help_text="Why it failed.")
    result = models.JSONField(default=dict, help_text="The tries so far and the pick, as search.Search tells them.")
    run = models.ForeignKey(
        Run, on_delete=models.PROTECT, null=True, related_name="searches", help_text="The try that it waits for."
    )
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["round"], condition=models.Q(status="running"), name="one_search_of_a_round_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"search for {self.round} ({self.status})"


class Promotion(models.Model):
    """A model version was made the project's champion, by whom and why. The latest one holds."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="promotions")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    by = models.ForeignKey(
        site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", help_text="Null: the autopilot."
    )
    reason = models.TextField()
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.model} is champion of {self.project}"


class Autopilot(models.Model):
    """When so many new judgments have come, the round is run again from the champion. Off unless somebody wants it."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="autopilot")
    is_on = models.BooleanField(default=False)
    every = models.PositiveIntegerField(default=200, help_text="New judgments by people, before a round.")
    recipe = models.CharField(max_length=10, default="dpo")
    settings = models.JSONField(default=dict)
    start = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, null=True, related_name="+", help_text="Champion until one is promoted."
    )
    seen_up_to = models.BigIntegerField(default=0, help_text="Id of the last judgment that an earlier round knew.")
    changed_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"autopilot of {self.project} ({'on' if self.is_on else 'off'})"


class AutopilotDecision(models.Model):
    """One entry of the autopilot's log, in words, with the numbers that it rested on."""

    class Kind(models.TextChoices):
        SWITCHED = "switched", _("Switched")
        LAUNCHED = "launched", _("Launched a round")
        PROMOTED = "promoted", _("Promoted")
        KEPT = "kept", _("Kept the champion")
        GAVE_UP = "gave_up", _("Gave up")

    autopilot = models.ForeignKey(Autopilot, on_delete=models.CASCADE, related_name="decisions")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    words = models.TextField()
    figures = models.JSONField(default=dict)
    round = models.ForeignKey(Round, on_delete=models.CASCADE, null=True, related_name="autopilot_decisions")
    promotion = models.OneToOneField(Promotion, on_delete=models.SET_NULL, null=True, related_name="decision")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["round"],
                condition=models.Q(kind__in=("promoted", "kept", "gave_up")),
                name="a_round_is_decided_once",
            )
        ]

    def __str__(self) -> str:
        return self.words
