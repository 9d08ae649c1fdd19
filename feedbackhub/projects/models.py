from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskKind(models.TextChoices):
    PAIRWISE = "pairwise", _("Pairwise comparison")
    RANKING = "ranking", _("Ranking")
    THUMBS = "thumbs", _("Thumbs up or down")
    SCORES = "scores", _("Scores on a rubric")


class Role(models.TextChoices):
    RATER = "rater", _("Rater")
    ADMIN = "admin", _("Admin")
    STAKEHOLDER = "stakeholder", _("Stakeholder")


class Order(models.TextChoices):
    """Which of the tasks of equal priority comes next."""

    IN_TURN = "in_turn", _("In turn: the oldest task first")
    BREADTH = "breadth", _("Breadth first: every task once before any twice")
    UNIFORM = "uniform", _("Uniform: in random order")
    ACTIVE = "active", _("What tells the leaderboard most")


class IdentityLeaks(models.TextChoices):
    """What raters get of an output that says who wrote it. The stored output never changes."""

    SHOW = "show", _("Show it as it is")
    MASK = "mask", _("Hide the names")
    EXCLUDE = "exclude", _("Make no tasks of it")


class Project(models.Model):
    """Prompts, contenders, raters and rounds that belong together."""

    slug = models.SlugField(unique=True, max_length=60, validators=[RegexValidator(r"^[a-z0-9]+(?:[-_][a-z0-9]+)*$")])
    name = models.CharField(max_length=120)
    guidelines = models.TextField(blank=True, help_text="Markdown. What raters should look for.")
    guidelines_version = models.PositiveIntegerField(default=1)
    task_kind = models.CharField(max_length=12, choices=TaskKind.choices, default=TaskKind.PAIRWISE)
    # Also anchors: {level: what it means} (criteria.py).
    criteria = models.JSONField(default=list, blank=True, help_text="[{key, label, min, max}], for scores.")
    judgments_per_task = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(50)]
    )
    order = models.CharField(max_length=8, choices=Order.choices, default=Order.IN_TURN)
    explore_percent = models.PositiveSmallIntegerField(
        default=10, validators=[MaxValueValidator(100)], help_text="Active order: pairs drawn at random all the same."
    )
    gold_percent = models.PositiveSmallIntegerField(
        default=5,
        validators=[MaxValueValidator(50)],
        help_text="Share of checks with a known answer, once there are some.",
    )
    repeat_percent = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(50)],
        help_text="Share of a rater's own tasks asked again, sides turned.",
    )
    deadline = models.DateTimeField(null=True, blank=True, help_text="No task is given out after it.")
    identity_leaks = models.CharField(max_length=8, choices=IdentityLeaks.choices, default=IdentityLeaks.SHOW)
    smallest_difference = models.FloatField(
        default=5.0,
        validators=[MinValueValidator(0.5), MaxValueValidator(25)],
        help_text="Points of win rate from ½: less is no difference worth having.",
    )
    langsmith_project = models.CharField(max_length=120, blank=True)
    is_demo = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class RaterGroup(models.Model):
    """Raters who get a share of a project's judgments of their own: experts, say, or those who read a language."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="rater_groups")
    name = models.CharField(max_length=60)
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Its share of the judgments, relative to the other groups that may judge the same prompt.",
    )
    languages = models.JSONField(default=list, blank=True, help_text="Of the prompts that it may judge; none is all.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="one_rater_group_a_name")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One role of one user in one project; a user may have several."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role.choices)
    group = models.ForeignKey(RaterGroup, on_delete=models.SET_NULL, null=True, blank=True, related_name="memberships")
    suspended_because = models.TextField(blank=True, help_text="A rater who gets no new tasks: what they are told.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user", "role"], name="one_membership_a_role")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} in {self.project}"
