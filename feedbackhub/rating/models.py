from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from feedbackhub.catalog.models import ModelVersion, Output, Prompt
from feedbackhub.projects.models import Order, Project, RaterGroup, TaskKind


class Check(models.TextChoices):
    """Why a task is there that is no work: its answer is known, or the rater has given it before."""

    GOLD = "gold", _("Gold item")
    ATTENTION = "attention", _("Attention check")
    REPEAT = "repeat", _("Asked again")


class Task(models.Model):
    """A prompt and one to ten of its outputs that want `judgments_wanted` judgments."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=12, choices=TaskKind.choices)
    outputs = models.ManyToManyField(Output, through="TaskOutput", related_name="tasks")
    outputs_key = models.CharField(max_length=64, help_text="Digest of kind and output ids: the same task once.")
    judgments_wanted = models.PositiveSmallIntegerField()
    priority = models.IntegerField(default=0)
    is_raised = models.BooleanField(default=False, help_text="The active order has put it before others of priority 0.")
    # A check (checks.py): what is said of it enters nothing but the rater's reliability.
    check_kind = models.CharField(max_length=9, choices=Check.choices, blank=True)
    twin_of = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="twins")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "outputs_key"], name="one_task_a_set_of_outputs")]
        indexes = [
            models.Index(fields=["project"], condition=models.Q(is_raised=True), name="raised_tasks"),
            models.Index(fields=["project", "twin_of"], condition=~models.Q(check_kind=""), name="check_tasks"),
        ]

    def __str__(self) -> str:
        return f"task {self.pk} ({self.kind})"


class TaskOutput(models.Model):
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="task_outputs")
    output = models.ForeignKey(Output, on_delete=models.PROTECT, related_name="task_outputs")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "output"], name="an_output_once_a_task")]

    def __str__(self) -> str:
        return f"output {self.output_id} in task {self.task_id}"


class Assignment(models.Model):
    """One of the judgments that a task wants. As many rows as `judgments_wanted`, so overlap cannot be exceeded.

    open: anyone's. leased: `rater` holds it until `lease_expires_at`. done: judged.
    """

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        LEASED = "leased", _("Leased")
        DONE = "done", _("Done")

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments")
    ordinal = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="assignments")
    leased_at = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    # Copies of the task's, which never change apart from priority (task_priority_set writes both):
    # the next task is then one step in one index however many tasks there are.
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    priority = models.IntegerField(default=0)
    place = models.BigIntegerField(default=0, help_text="Among equal priorities, by the project's order (places.py).")
    # Which group of raters is to judge; None is everyone's.
    group = models.ForeignKey(RaterGroup, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "ordinal"], name="assignments_are_numbered"),
            models.UniqueConstraint(
                fields=["task", "rater"], condition=models.Q(rater__isnull=False), name="a_rater_once_a_task"
            ),
            models.CheckConstraint(
                condition=models.Q(state="open", rater=None)
                | (~models.Q(state="open") & models.Q(rater__isnull=False)),
                name="open_means_nobodys",
            ),
        ]
        indexes = [
            models.Index(
                fields=["project", "group", "-priority", "place"],
                condition=models.Q(state="open"),
                name="open_assignments_in_line",
            ),
            models.Index(fields=["lease_expires_at"], condition=models.Q(state="leased"), name="leased_assignments"),
            models.Index(fields=["rater", "project", "state"], name="assignments_of_a_rater"),
        ]

    def __str__(self) -> str:
        return f"assignment {self.ordinal} of {self.task} ({self.state})"


class Line(models.Model):
    """By which order the places of a project's assignments are given; it follows the project's."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="line")
    order = models.CharField(max_length=8, choices=Order.choices, default=Order.IN_TURN)

    def __str__(self) -> str:
        return f"{self.project} {self.get_order_display()}"


class Serving(models.Model):
    """A task as it was put before a rater. It outlives the lease: a late judgment is held against it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="servings")
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="servings")
    shown = models.JSONField(help_text="Output ids in the order drawn for this rater; the same whenever it is served.")
    place = models.BigIntegerField(default=0, help_text="The assignment's: where this rater goes on in line.")
    release_reason = models.CharField(max_length=200, blank=True, help_text="Why the rater last gave it back.")
    served_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "rater"], name="a_rater_sees_one_order")]
        indexes = [models.Index(fields=["project", "rater", "-id"], name="servings_of_a_rater")]

    def __str__(self) -> str:
        return f"{self.task} as {self.rater} sees it"


class Skip(models.Model):
    """A rater who does not want a task is not offered it again."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="skips")
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="skips")
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "rater"], name="a_rater_skips_a_task_once")]

    def __str__(self) -> str:
        return f"{self.rater} skipped {self.task}"


class Gold(models.Model):
    """A task whose answer is known. Raters get twins of it among their work; nothing tells them."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="gold_items")
    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="gold")
    kind = models.CharField(max_length=9, choices=[(one.value, one.label) for one in (Check.GOLD, Check.ATTENTION)])
    expected = models.JSONField(help_text="As a judgment says it: {ranking, none_acceptable} or {thumbs} or {scores}.")
    note = models.CharField(max_length=500, blank=True, help_text="Why this is the answer.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk}"


class Intervention(models.Model):
    """What an admin did to work that was under way or done, why, and whether it was taken back."""

    class Kind(models.TextChoices):
        VOID = "void", _("A rater's work made void")
        REOPEN = "reopen", _("Task opened again")
        REASSIGN = "reassign", _("Lease given to somebody else")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="interventions")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    reason = models.CharField(max_length=500)
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, null=True, related_name="interventions")
    given_to = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    count = models.PositiveIntegerField(default=0, help_text="Judgments, or leases, that it moved.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    undone_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["project", "-id"])]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reason}"


class JudgmentQuerySet(models.QuerySet):
    def in_force(self, as_of: datetime | None = None) -> "JudgmentQuerySet":
        """Standing, and no check; with `as_of`, as it was at that moment (what was voided since is left out there too:
        it should never have counted)."""
        return self.standing(as_of).filter(is_check=False)

    def standing(self, as_of: datetime | None = None) -> "JudgmentQuerySet":
        """Counted, not voided, not withdrawn, superseded by none: to its rater a check is one like any other.

        NOT EXISTS, and not `superseded_by=None`: PostgreSQL expects one row of that outer join and then compares every
        item with every judgment (26,728 votes with their items: 40 s instead of 0.1 s).
        """
        until = {} if as_of is None else {"occurred_at__lte": as_of}
        later = Judgment.objects.filter(supersedes=models.OuterRef("pk"), **until)
        return self.filter(~models.Exists(later), counted=True, withdrawn=False, voiding=None, **until)


# What does not count, or no longer: whoever said it is not asked again. Few rows, with an index of their own.
PUT_ASIDE = models.Q(counted=False) | models.Q(voiding__isnull=False)


class Judgment(models.Model):
    """What somebody said of some outputs. Append-only: an edit or an undo is a new row that supersedes the old.

    A judgment is in force when it is counted, no check, not voided, not withdrawn, and superseded by none. An
    adjudication settles what raters disagree on: it is no vote (`counted` is False); in datasets it stands for votes.
    """

    class Source(models.TextChoices):
        RATER = "rater", _("Rater")
        SIMULATED = "simulated", _("Simulated rater")
        VOTES = "votes", _("Imported votes")
        PREFERENCES = "preferences", _("Imported preferences")
        ADJUDICATION = "adjudication", _("Adjudication")

    class Strength(models.TextChoices):
        SLIGHT = "slight", _("Slightly")
        CLEAR = "clear", _("Clearly")

    class Flag(models.TextChoices):
        """What the pages offer; programs may send texts of their own."""

        UNSAFE = "unsafe", _("Unsafe")
        OFF_TOPIC = "off_topic", _("Off topic")
        BROKEN = "broken", _("Broken")
        REVEALS_IDENTITY = "reveals_identity", _("Reveals its identity")

    class SpanReason(models.TextChoices):
        """What the pages offer for a marked span; a rater may say it in words of their own."""

        FACTUAL_ERROR = "factual_error", _("Factual error")
        UNSAFE = "unsafe", _("Unsafe")
        UNCLEAR = "unclear", _("Unclear")
        OFF_TOPIC = "off_topic", _("Off topic")
        WELL_PUT = "well_put", _("Well put")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="judgments")
    kind = models.CharField(max_length=12, choices=TaskKind.choices)
    source = models.CharField(max_length=12, choices=Source.choices)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, null=True, related_name="judgments")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, null=True, related_name="judgments")
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="judgments")
    judge = models.CharField(max_length=200, blank=True, help_text="Who judged, in an imported judgment.")
    question = models.CharField(max_length=200, blank=True, help_text="An imported vote's question, by its id.")
    category = models.CharField(max_length=80, blank=True, help_text="The prompt's, or the imported vote's own.")
    key = models.UUIDField(null=True, help_text="The client's key: sending twice makes one.")
    import_key = models.CharField(max_length=64, null=True, help_text="An imported judgment's identity, a digest.")
    none_acceptable = models.BooleanField(default=False)
    strength = models.CharField(max_length=6, choices=Strength.choices, blank=True)
    flags = models.JSONField(default=list)
    spans = models.JSONField(default=list)  # [{output, start, end, text, reason}]: spans.py says what they count
    comment = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True)
    guidelines_version = models.PositiveIntegerField(null=True)
    payload_digest = models.CharField(max_length=64, blank=True, help_text="Of what was sent under the key.")
    counted = models.BooleanField(default=True)
    is_check = models.BooleanField(default=False, help_text="Of a task that is a check: it enters nothing.")
    voiding = models.ForeignKey(
        Intervention, on_delete=models.PROTECT, null=True, related_name="judgments", help_text="What made it void."
    )
    withdrawn = models.BooleanField(default=False, help_text="An undo: this row takes the one it supersedes back.")
    supersedes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="superseded_by")
    occurred_at = models.DateTimeField(help_text="The timestamp that came with it, else its receipt.")
    received_at = models.DateTimeField(auto_now_add=True)

    objects = JudgmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rater", "key"], name="a_key_makes_one_judgment"),
            models.UniqueConstraint(fields=["project", "import_key"], name="an_import_key_makes_one_judgment"),
        ]
        indexes = [
            models.Index(fields=["project", "occurred_at", "id"], name="judgments_in_order"),
            models.Index(fields=["rater", "-id"], name="judgments_of_a_rater"),
            models.Index(fields=["task", "rater"], condition=PUT_ASIDE, name="judgments_put_aside"),
        ]

    def __str__(self) -> str:
        return f"judgment {self.pk} ({self.kind})"

    @property
    def enters(self) -> bool:
        """Whether, while nothing supersedes it, it is in tallies, datasets and agreement."""
        return self.counted and not self.is_check and self.voiding_id is None


class JudgmentItem(models.Model):
    """One output (or, without its text, one model) within a judgment."""

    judgment = models.ForeignKey(Judgment, on_delete=models.CASCADE, related_name="items")
    # None where an imported preference names no model: such a judgment trains, and enters no tally.
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="judgment_items")
    output = models.ForeignKey(Output, on_delete=models.PROTECT, null=True, related_name="judgment_items")
    position = models.PositiveSmallIntegerField(help_text="Where it was shown, from 0.")
    tier = models.PositiveSmallIntegerField(null=True, help_text="0 is best; ties share one. None in thumbs, scores.")
    thumbs = models.SmallIntegerField(null=True)
    scores = models.JSONField(default=dict)
    correction = models.TextField(blank=True)
    chars = models.PositiveIntegerField(null=True, help_text="The answer's length in characters, where known.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["judgment", "position"], name="one_item_a_position")]

    def __str__(self) -> str:
        return f"{self.model} in {self.judgment}"


class PairTally(models.Model):
    """How often one model beat another, of the judgments in force. The one thing stored that a query could give.

    It makes the default leaderboard's cost independent of the number of votes. `model_a_id < model_b_id`.
    A ranking of k is here as its k(k-1)/2 pairs.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="pair_tallies")
    category = models.CharField(max_length=80, blank=True)
    source = models.CharField(max_length=12, choices=Judgment.Source.choices)
    model_a = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    model_b = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    wins_a = models.BigIntegerField(default=0)
    wins_b = models.BigIntegerField(default=0)
    ties = models.BigIntegerField(default=0)
    both_bad = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "category", "source", "model_a", "model_b"], name="one_tally_a_pair"
            ),
            models.CheckConstraint(condition=models.Q(model_a__lt=models.F("model_b")), name="pairs_are_ordered"),
        ]

    def __str__(self) -> str:
        return f"{self.model_a} {self.wins_a}:{self.wins_b} {self.model_b}"


class RankingTally(models.Model):
    """How often one ordering of three or more models was given: what clustering a ranking's pairs by judgment needs."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="ranking_tallies")
    category = models.CharField(max_length=80, blank=True)
    source = models.CharField(max_length=12, choices=Judgment.Source.choices)
    pattern = models.CharField(max_length=200, help_text='Model ids, best first: "12>7=9>3", ties in ascending order.')
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "category", "source", "pattern"], name="one_tally_a_pattern")
        ]

    def __str__(self) -> str:
        return f"{self.pattern}: {self.count}"


class RaterDecision(models.Model):
    """What an admin decided about a rater's work in a project. Append-only: an undo is a row that names the one undone.

    A suspended rater gets no new tasks. A weighed one's votes count `weight` where datasets are frozen. Nothing that a
    rater has said is changed by either.
    """

    class Action(models.TextChoices):
        SUSPEND = "suspend", _("Suspend")
        WEIGH = "weigh", _("Weigh")
        DISMISS = "dismiss", _("Dismiss")
        UNDO = "undo", _("Undo")

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="rater_decisions")
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="decisions_about")
    action = models.CharField(max_length=8, choices=Action.choices)
    weight = models.FloatField(null=True, help_text="From 0 to 1, of one who is weighed.")
    signals = models.JSONField(default=list, help_text="The kinds of signal that led to it.")
    because = models.TextField(blank=True, help_text="What the signals said, in the words of that day.")
    reason = models.TextField(help_text="The admin's own words; a suspended rater is told them.")
    judgments = models.PositiveIntegerField(help_text="How many judgments of the rater were in force.")
    undoes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="undone_by")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(action="weigh", weight__gte=0, weight__lte=1)
                | (~models.Q(action="weigh") & models.Q(weight=None)),
                name="only_a_weighed_rater_has_a_weight",
            ),
            models.CheckConstraint(
                condition=models.Q(action="undo", undoes__isnull=False)
                | (~models.Q(action="undo") & models.Q(undoes=None)),
                name="an_undo_names_what_it_undoes",
            ),
        ]
        indexes = [models.Index(fields=["project", "rater", "-id"], name="decisions_about_a_rater")]

    def __str__(self) -> str:
        return f"{self.action} {self.rater} in {self.project}"
