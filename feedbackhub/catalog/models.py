import uuid
from pathlib import PurePath

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.projects.models import Project
from feedbackhub.runs.models import Run

from .content import media_of, text_of


class Split(models.TextChoices):
    TRAIN = "train", _("Train")
    VALIDATION = "validation", _("Validation")
    TEST = "test", _("Test")


class Prompt(models.Model):
    """A conversation that wants an answer. Its split never changes, and nothing of a test prompt trains anything."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    messages = models.JSONField(help_text='[{"role", "content": [{"type": "text", "text"}]}]')
    digest = models.CharField(max_length=64, help_text="Of the normalised conversation (content.prompt_digest).")
    references = models.JSONField(default=list, help_text="Texts that a good answer resembles.")
    category = models.CharField(max_length=80, blank=True)
    language = models.CharField(max_length=12, blank=True, help_text="As in BCP 47: en, de, pt-BR.")
    tags = models.JSONField(default=list)
    split = models.CharField(max_length=10, choices=Split.choices)
    external_id = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "digest"], name="one_prompt_a_conversation")]
        indexes = [models.Index(fields=["project", "split"]), models.Index(fields=["project", "external_id"])]

    def __str__(self) -> str:
        return self.label[:80]

    @property
    def text(self) -> str:
        """The last message, which is what the answers answer."""
        return text_of(self.messages[-1]["content"])

    @property
    def shows_media(self) -> bool:
        """Whether any turn has a picture or a video, which no model here can look at."""
        return any(media_of(message["content"]) for message in self.messages)

    @property
    def label(self) -> str:
        """The text, or what is there in its stead, for lists."""
        if self.text.strip():
            return self.text
        media = media_of(self.messages[-1]["content"])
        return ", ".join(part["alt"] or ("Picture" if part["type"] == "image" else "Video") for part in media)


class ModelVersion(models.Model):
    """A contender: a base, at most one adapter, and decoding settings. Immutable once it has outputs."""

    class Kind(models.TextChoices):
        LOCAL = "local", _("Local folder")
        HUB = "hub", _("Hub id")
        OPENAI = "openai", _("OpenAI-compatible endpoint")
        IMPORTED = "imported", _("Imported outputs or votes only")

    class Purpose(models.TextChoices):
        POLICY = "policy", _("Policy")
        REWARD = "reward", _("Reward model")

    # Without a project it belongs to the whole site: the embedded base, which every project lists.
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="model_versions", null=True, blank=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    role = models.CharField(max_length=10, choices=Purpose.choices, default=Purpose.POLICY)
    base = models.CharField(max_length=500, blank=True, help_text="A folder, or a hub id, or the endpoint's model.")
    adapter = models.CharField(max_length=500, blank=True, help_text="A folder with adapter_model.safetensors.")
    endpoint = models.URLField(max_length=500, blank=True)
    decoding = models.JSONField(
        default=dict, help_text="system, temperature, top_p, repetition_penalty, max_new_tokens, seed"
    )
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="one_model_a_name"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(project=None), name="one_site_wide_model_a_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def base_label(self) -> str:
        """The base as a table shows it: a folder's own name, else the id."""
        return PurePath(self.base).name if self.kind == self.Kind.LOCAL else self.base

    @property
    def adapter_label(self) -> str:
        """The adapter folder's last two names: `adapter` alone says nothing."""
        return "/".join(PurePath(self.adapter).parts[-2:])

    @property
    def generates(self) -> bool:
        return self.kind in (self.Kind.LOCAL, self.Kind.HUB)

    @property
    def answers(self) -> bool:
        """Whether it can be asked: it has weights here, or an endpoint; and it is no reward model."""
        return self.role == self.Purpose.POLICY and (self.generates or self.kind == self.Kind.OPENAI)


class Generation(models.Model):
    """A wish for answers by some models to some prompts; each model answers in a run of its own."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="generations")
    prompts = models.JSONField(help_text="Ids of the prompts, fixed when it was asked for.")
    n = models.PositiveSmallIntegerField(default=1, help_text="Answers a prompt.")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"generation {self.pk} ({self.status})"


class GenerationRun(models.Model):
    """One model's share of a generation."""

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="parts")
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="generation_runs")
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="generation_run")
    stored = models.PositiveIntegerField(default=0, help_text="Outputs stored from the run.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["generation", "model"], name="a_model_answers_once")]

    def __str__(self) -> str:
        return f"{self.model} in {self.generation}"


class WeightExport(models.Model):
    """A model version in one piece, made in a run of its own and kept in its directory until it is removed."""

    class Format(models.TextChoices):
        MERGED = "merged", _("Merged weights")
        GGUF = "gguf", _("GGUF file")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="weight_exports")
    model = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="exports")
    format = models.CharField(max_length=10, choices=Format.choices)
    run = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="weight_export")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "model", "format"], name="one_export_a_model_and_format")
        ]

    def __str__(self) -> str:
        return f"{self.model} as {self.format}"


class Media(models.Model):
    """A picture or video, held once however many prompts and outputs show it; its file is named by its content."""

    digest = models.CharField(max_length=64, primary_key=True, help_text="SHA-256 of the bytes.")
    media_type = models.CharField(max_length=20, help_text="By its bytes, like image/png.")
    bytes = models.PositiveBigIntegerField()
    width = models.PositiveIntegerField(null=True, help_text="Pixels; not known of videos.")
    height = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.media_type} {self.digest[:12]}"

    @property
    def path(self) -> str:
        """Where it lies in the storage."""
        return f"{self.digest[:2]}/{self.digest}"


class MediaUse(models.Model):
    """A project that has a picture or video: its members may see it. `source` is where it was fetched, if it was."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="media_uses")
    media = models.ForeignKey(Media, on_delete=models.CASCADE, related_name="uses")
    source = models.TextField(blank=True)
    source_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the source.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "source_digest", "media"], name="one_media_a_source"),
        ]

    def __str__(self) -> str:
        return f"{self.media} in {self.project}"


class Output(models.Model):
    """A prompt's answer by a model version."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="outputs")
    # Nobody's in an imported preference that names no model: such an answer trains, and is never put before a rater.
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="outputs")
    parts = models.JSONField(help_text='[{"type": "text", "text"}, {"type": "image", "media": digest, "alt", …}]')
    # The same key is the same output: digest of the text and its ordinal when imported, run:index when generated.
    content_key = models.CharField(max_length=100)
    decoding = models.JSONField(default=dict)
    seed = models.BigIntegerField(null=True)
    tokens = models.PositiveIntegerField(null=True)
    latency_ms = models.FloatField(null=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    # None: not looked at yet; the sweeper does (identity.py).
    reveals_identity = models.BooleanField(null=True, help_text="Whether its text says who wrote it.")
    run_uuid = models.UUIDField(default=uuid.uuid4, unique=True, help_text="Its id as a run, here and at LangSmith.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prompt", "model", "content_key"], name="one_output_a_content_key"),
            models.UniqueConstraint(
                fields=["prompt", "content_key"],
                condition=models.Q(model=None),
                name="one_unnamed_output_a_content_key",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(reveals_identity=None), name="outputs_not_looked_at"),
            models.Index(fields=["prompt"], condition=models.Q(reveals_identity=True), name="outputs_that_reveal"),
        ]

    def __str__(self) -> str:
        return f"{self.model or 'an unnamed model'} on prompt {self.prompt_id}"

    @property
    def text(self) -> str:
        return text_of(self.parts)
