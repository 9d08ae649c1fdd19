from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project
from feedbackhub.runs.models import Run


class Suite(models.TextChoices):
    TEXT_OVERLAP = "text-overlap", _("ROUGE, BLEU and chrF against references")
    PERPLEXITY = "perplexity", _("Perplexity of the references")
    FORGETTING = "forgetting", _("Perplexity on a fixed general text")


class Evaluation(models.Model):
    """Some model versions on one suite; each is measured in a run of its own."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="evaluations")
    suite = models.CharField(max_length=20, choices=Suite.choices)
    prompts = models.JSONField(default=list, help_text="Ids of the prompts it is measured on, fixed when asked for.")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"evaluation {self.pk} ({self.suite}, {self.status})"


class EvaluationRun(models.Model):
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="parts")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evaluation_runs")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="evaluation_run")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evaluation", "model"], name="a_model_is_measured_once")]

    def __str__(self) -> str:
        return f"{self.model} in {self.evaluation}"


class Result(models.Model):
    """One metric of one model version, with its 95 % bootstrap interval and the rows it rests on."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="results")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="results")
    metric = models.CharField(max_length=60)
    value = models.FloatField()
    lower = models.FloatField(null=True)
    upper = models.FloatField(null=True)
    n = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evaluation", "model", "metric"], name="one_result_a_metric")]

    def __str__(self) -> str:
        return f"{self.metric} of {self.model}: {self.value:.3f}"
