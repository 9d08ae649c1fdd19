from django.conf import settings as site
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import Generation, ModelVersion, Output
from feedbackhub.projects.models import Project
from feedbackhub.runs.models import Run


class OutputScoring(models.Model):
    """A reward model reads a set of outputs, in a run of its own."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="output_scorings")
    reward_model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="output_scorings")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="output_scoring")
    outputs = models.PositiveIntegerField(help_text="How many it was asked for.")
    stored = models.PositiveIntegerField(default=0)
    applied_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.reward_model} on {self.outputs} outputs"


class OutputScore(models.Model):
    """What a reward model thinks of an output. It thinks the same whenever it is asked, so it is asked once."""

    reward_model = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="scores_given")
    output = models.ForeignKey(Output, on_delete=models.CASCADE, related_name="reward_scores")
    reward = models.FloatField(help_text="Mean of the heads; σ of a difference is the chance to be preferred.")
    heads = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reward_model", "output"], name="an_output_is_scored_once")]

    def __str__(self) -> str:
        return f"{self.reward:.3f} of {self.output_id} by {self.reward_model_id}"


class BestOf(models.Model):
    """n answers to each prompt by one model, ranked by a reward model; the best and the worst are kept."""

    class Status(models.TextChoices):
        ANSWERS = "answers", _("Answers are written")
        SCORING = "scoring", _("Answers are scored")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    UNFINISHED = (Status.ANSWERS, Status.SCORING)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="best_ofs")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="best_ofs")
    reward_model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="best_ofs_ranked")
    n = models.PositiveSmallIntegerField()
    pairs = models.BooleanField(default=False, help_text="Whether raters are asked about the best against the worst.")
    generation = models.OneToOneField(Generation, on_delete=models.PROTECT, related_name="best_of")
    scoring = models.OneToOneField(OutputScoring, on_delete=models.PROTECT, null=True, related_name="best_of")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ANSWERS)
    message = models.TextField(blank=True)
    best = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    worst = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    tasks_created = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"best of {self.n} by {self.model}"
