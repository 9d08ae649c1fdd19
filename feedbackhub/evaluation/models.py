from django.conf import settings as site
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.projects.models import Project
from feedbackhub.runs.models import Run

from .metrics import group_label
from .reasons import RIGHT_ANSWER, words


class Suite(models.TextChoices):
    """The suites that every project has; a project's own are `SuiteVersion`s."""

    TEXT_OVERLAP = "text-overlap", _("ROUGE, BLEU and chrF against references")
    PERPLEXITY = "perplexity", _("Perplexity of the references")
    FORGETTING = "forgetting", _("General language: a fixed text and simple questions")
    ANSWER_MATCH = "answer-match", _("Exact match and F1 of words with references")
    REWARD = "reward", _("A reward model’s score of the answers")


def runs_code(task: dict) -> bool:
    """Whether a task's answers are programs that are run (HumanEval, MBPP)."""
    return any(name in str(task.get("metric_list", "")) for name in ("code_eval", "pass_at"))


class SuiteVersion(models.Model):
    """A suite of a project's own, in one version; immutable once a model was measured on it."""

    class Kind(models.TextChoices):
        RULES = "rules", _("Rules")
        TASK = "task", _("Task (lm-evaluation-harness)")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="suites")
    name = models.CharField(max_length=80)
    number = models.PositiveIntegerField(help_text="Of the version, from 1 on.")
    kind = models.CharField(max_length=5, choices=Kind.choices)
    description = models.TextField(blank=True)
    rules = models.JSONField(default=list, help_text="What every answer must be (rules.py).")
    task = models.JSONField(default=dict, help_text="The fields of a task, as in its YAML.")
    settings = models.JSONField(default=dict, help_text="seeds, temperature, max_new_tokens, num_fewshot, system.")
    content_hash = models.CharField(max_length=64)
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "number"], name="suite_versions_are_numbered")
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"

    @property
    def needs_likelihoods(self) -> bool:
        """Whether it chooses by log-likelihoods, which takes a model's weights; else it looks at what is written."""
        return self.task.get("output_type") == "multiple_choice"

    @property
    def is_code(self) -> bool:
        """Whether it runs code that a model wrote."""
        return runs_code(self.task)


class SuiteItem(models.Model):
    """A question of a suite: a prompt that rules apply to, or a row of a task."""

    suite = models.ForeignKey(SuiteVersion, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    key = models.CharField(max_length=100, help_text="What names it in every version of the suite.")
    data = models.JSONField(help_text="{messages, references, paraphrases, rules}, or the row of a task.")
    tags = models.JSONField(default=list)
    example = models.BooleanField(default=False, help_text="An example (few-shot) of a task, not a question.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["suite", "key"], name="one_item_a_key")]
        ordering = ["suite", "position"]

    def __str__(self) -> str:
        return f"{self.key} of {self.suite}"


class Evaluation(models.Model):
    """Some model versions on one suite; each is measured in a run of its own."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="evaluations")
    suite = models.CharField(max_length=120, help_text="One of every project's (Suite), or the name of one of its own.")
    suite_version = models.ForeignKey(SuiteVersion, on_delete=models.PROTECT, null=True, related_name="evaluations")
    reward_model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    prompts = models.JSONField(default=list, help_text="Ids of the prompts it is measured on, fixed when asked for.")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"evaluation {self.pk} ({self.suite}, {self.status})"

    @property
    def title(self) -> str:
        """The suite in words: what it measures, or its own name and version."""
        if self.suite_version_id:
            return str(self.suite_version)
        return str(dict(Suite.choices).get(self.suite, self.suite))


class EvaluationRun(models.Model):
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="parts")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="evaluation_runs")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="evaluation_run")
    differences = models.JSONField(default=dict, help_text="Against its baseline, item by item.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evaluation", "model"], name="a_model_is_measured_once")]

    def __str__(self) -> str:
        return f"{self.model} in {self.evaluation}"


class Result(models.Model):
    """One metric of one model version, with its 95 % bootstrap interval and the rows it rests on."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="results")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="results")
    metric = models.CharField(max_length=120)
    value = models.FloatField()
    lower = models.FloatField(null=True)
    upper = models.FloatField(null=True)
    n = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["evaluation", "model", "metric"], name="one_result_a_metric")]

    def __str__(self) -> str:
        return f"{self.metric} of {self.model}: {self.value:.3f}"


class ItemResult(models.Model):
    """What came of one item by one model: its answers, and whether they pass."""

    part = models.ForeignKey(EvaluationRun, on_delete=models.CASCADE, related_name="items")
    item = models.ForeignKey(SuiteItem, on_delete=models.PROTECT, related_name="results")
    passed = models.BooleanField()
    failed = models.JSONField(default=dict, help_text="{rule: why}, of those that it breaks.")
    scores = models.JSONField(
        default=dict, help_text="{metric: 0…1}: passed, each rule and tag that it has, a task's own."
    )
    answers = models.JSONField(default=list, help_text="[{text, variant, seed, failed: [rule]}]")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["part", "item"], name="one_result_an_item")]

    def __str__(self) -> str:
        return f"{self.item_id}: {'passed' if self.passed else 'failed'}"

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """(rule, why it is broken) in words."""
        return [
            (str(_("right answer")) if rule == RIGHT_ANSWER else rule, words(why)) for rule, why in self.failed.items()
        ]


class DataRequest(models.Model):
    """A note that a model needs examples: the prompts that it failed, for admins to find or write data for."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="data_requests")
    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="data_requests")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    group = models.CharField(max_length=140, blank=True, help_text="tag:NAME or rule:NAME; empty for all failures.")
    note = models.TextField(blank=True)
    prompts = models.JSONField(default=list, help_text="[{key, text}]")
    created_by = models.ForeignKey(site.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"data request {self.pk} ({len(self.prompts)} prompts)"

    @property
    def title(self) -> str:
        return f"{self.model.name} · {group_label(self.group)}"
