"""How one looks at the board: the names are those of the address and of the API."""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, time

from django.db.models import Q
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.core.errors import DomainError
from feedbackhub.projects.models import Project, RaterGroup
from feedbackhub.rating.models import PairTally

from .votes import in_force

METHODS = ("bt", "elo")
TIES = ("half", "davidson")
INTERVALS = ("sandwich", "bootstrap", "simultaneous")
CLUSTERS = ("rater", "prompt", "both")
CONTROLS = ("length", "style")
WEIGHTS = ("reliability",)
MOMENTS = ("as_of", "since", "until")
CHOICES = {
    "method": METHODS,
    "ties": TIES,
    "intervals": INTERVALS,
    "cluster": CLUSTERS,
    "control": CONTROLS,
    "weights": WEIGHTS,
}


@dataclass(frozen=True)
class Options:
    """Which votes, and how they are rated; the defaults are the default board.

    category, language, group, since, until, as_of choose votes. intervals: `sandwich`, `bootstrap`, `simultaneous`;
    cluster: votes that go together in them. anchor: the model that stands at 1000, else their mean does.
    """

    method: str = "bt"
    ties: str = "half"
    intervals: str = "sandwich"
    cluster: str | None = None
    control: str | None = None
    weights: str | None = None
    anchor: str | None = None
    category: str | None = None
    language: str | None = None
    group: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | None = None

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    @classmethod
    def read(cls, given: dict[str, str]) -> "Options":
        """From texts, as an address has them; blank is left out. DomainError: a moment that is none."""
        found = {name: given.get(name) for name in cls.names() if given.get(name)}
        return cls(**{name: moment(name, text) if name in MOMENTS else text for name, text in found.items()})

    @classmethod
    def stored(cls, kept: dict) -> "Options":
        return cls(**{name: datetime.fromisoformat(v) if name in MOMENTS else v for name, v in kept.items()})

    @property
    def changed(self) -> dict:
        """What is not as in the default, as JSON has it."""
        plain = asdict(Options())
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value != plain[name]
        }

    @property
    def slices(self) -> bool:
        return any((self.category, self.language, self.group, self.since, self.until))

    @property
    def of_tallies(self) -> bool:
        """Whether sums of votes by pair and category tell all that is needed."""
        return self.method == "bt" and not any(
            (self.cluster, self.control, self.weights, self.language, self.group, self.since, self.until, self.as_of)
        )

    def check(self, project: Project) -> None:
        """DomainError, naming the option: unknown, not there in this project, or two that do not go together."""
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                _refuse(name, f'{name} "{value}" is none of {", ".join(known)}.')
        if self.method == "elo":
            for name in ("control", "cluster", "weights"):
                if getattr(self, name):
                    _refuse(name, f"{name}={getattr(self, name)} goes with method=bt; online Elo has no covariates.")
            if self.ties != "half":
                _refuse("ties", "ties=davidson goes with method=bt; in online Elo a tie is half a win.")
            if self.intervals != "sandwich":
                _refuse("intervals", "intervals go with method=bt; online Elo has no error to state.")
        if self.intervals == "bootstrap":
            for name in ("control", "weights"):
                if getattr(self, name):
                    _refuse("intervals", f"intervals=bootstrap does not go with {name}; take cluster= instead.")
            if self.ties != "half":
                _refuse("intervals", "intervals=bootstrap goes with ties=half.")
        self._check_slices(project)

    def _check_slices(self, project: Project) -> None:
        there = {"category": categories, "language": languages, "group": groups}
        for name, known_in in there.items():
            value = getattr(self, name)
            if value is None or (name == "category" and _has_category(project, value)):
                continue
            if value not in (known := known_in(project)):
                listed = ", ".join(known) if known else "there are none yet"
                _refuse(name, f'no vote has the {name} "{value}"; these have: {listed}.')
        if self.since and self.until and self.since >= self.until:
            _refuse("until", "until must be later than since.")
        if self.anchor is not None and not ModelVersion.objects.filter(models_here(project), name=self.anchor).exists():
            _refuse("anchor", f'there is no model "{self.anchor}" to anchor the ratings at.')


def models_here(project: Project) -> Q:
    return Q(project=project) | Q(project=None)


def moment(name: str, text: str) -> datetime:
    """An ISO 8601 moment with a zone, or a day, which begins at midnight UTC. DomainError when it is neither."""
    try:
        day = parse_date(text) if len(text) == len("2026-11-21") else None
        found = None if day else parse_datetime(text)
    except ValueError:
        found = day = None
    if day is not None and name != "as_of":
        found = datetime.combine(day, time.min, UTC)
    if found is None or found.tzinfo is None:
        _refuse(name, f'{name}="{text}" is no moment: write ISO 8601 with a zone, like 2026-11-21T12:00:00Z.')
    return found


def _refuse(name: str, message: str):
    raise DomainError(message, fields={name: message})


def _has_category(project: Project, category: str) -> bool:
    return PairTally.objects.filter(project=project, category=category).exists()


def categories(project: Project) -> list[str]:
    """The categories in which the project has votes, by name."""
    found = PairTally.objects.filter(project=project).exclude(category="").order_by("category")
    return list(found.values_list("category", flat=True).distinct())


def languages(project: Project) -> list[str]:
    """The languages of the project's prompts, by name."""
    found = project.prompts.exclude(language="").order_by("language")
    return list(found.values_list("language", flat=True).distinct())


def groups(project: Project) -> list[str]:
    return list(RaterGroup.objects.filter(project=project).order_by("name").values_list("name", flat=True))


def judgments_chosen(project: Project, options: Options):
    """The project's judgments in force that the options choose, comparisons and rankings."""
    found = in_force(project, options.as_of)
    if options.category is not None:
        found = found.filter(category=options.category)
    if options.language is not None:
        found = found.filter(prompt__language=options.language)
    if options.group is not None:
        members = RaterGroup.objects.filter(project=project, name=options.group).values("memberships__user")
        found = found.filter(rater__in=members)
    if options.since is not None:
        found = found.filter(occurred_at__gte=options.since)
    if options.until is not None:
        found = found.filter(occurred_at__lt=options.until)
    return found


def in_words(options: Options) -> list[str]:
    """What is not as in the default, in words for a heading."""
    words = {
        "method": {"elo": _("Online Elo")},
        "ties": {"davidson": _("ties after Davidson")},
        "intervals": {"bootstrap": _("bootstrap intervals"), "simultaneous": _("intervals for all models at once")},
        "cluster": {
            "rater": _("votes of a rater go together"),
            "prompt": _("votes on a prompt go together"),
            "both": _("votes of a rater and on a prompt go together"),
        },
        "control": {"length": _("at equal length"), "style": _("at equal style")},
        "weights": {"reliability": _("raters weighed by reliability")},
    }
    said = []
    for name, value in options.changed.items():
        if name in words:
            said.append(words[name][value])
        elif name == "anchor":
            said.append(_("%(model)s stands at 1000") % {"model": value})
        elif name in ("category", "language", "group"):
            said.append(value)
    return said
