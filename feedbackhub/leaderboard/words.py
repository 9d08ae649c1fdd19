"""What a board says beside its numbers, in the reader's language. A stored board keeps codes and values only."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy
from django.utils.translation import ngettext

FEW_VOTES = 30  # in a slice, below which its intervals say little

STATUS_TEXTS = {
    "only_wins": lazy(
        "%(model)s has won every vote it had, so nothing bounds its rating from above; set it against strong models."
    ),
    "only_losses": lazy(
        "%(model)s has lost every vote it had, so nothing bounds its rating from below; set it against weak models."
    ),
    "separated": lazy("%(model)s is only above or only below the rated models, so how far cannot be said."),
    "unconnected": lazy(
        "%(model)s has no votes that connect it with the rated models: queue pairs that bring them together."
    ),
}
FEATURES = {
    "length": lazy("length"),
    "headers": lazy("headers"),
    "lists": lazy("lists"),
    "bold": lazy("bold"),
}
UNDEFINED = {
    "no two models have both won and lost against each other, directly or through others": lazy(
        "no two models have both won and lost against each other, directly or through others"
    ),
    "a feature is the same in every vote, so its effect cannot be estimated": lazy(
        "a feature is the same in every vote, so its effect cannot be estimated"
    ),
    "a feature follows from which models were compared, so its effect cannot be told from theirs": lazy(
        "a feature follows from which models were compared, so its effect cannot be told from theirs"
    ),
    "the features alone settle votes that the models leave open, so their effect has no bound": lazy(
        "the features alone settle votes that the models leave open, so their effect has no bound"
    ),
    "without a circle of wins, ties can be as likely as one likes: Davidson's model has no finite answer": lazy(
        "without a circle of wins, ties can be as likely as one likes: Davidson’s model has no finite answer"
    ),
}


def noted(note: dict) -> dict:
    """The note with its `text`."""
    return {**note, "text": str(_text(note))}


def _text(note: dict) -> str:
    code, value = note["code"], note["value"]
    if code in STATUS_TEXTS:
        return STATUS_TEXTS[code] % {"model": value}
    return TEXTS[code](note, value)


def _feature(note: dict, value) -> str:
    if note["feature"] == "length" and note.get("alone"):
        return _("Log-odds per standard deviation of (chars_a − chars_b) / (chars_a + chars_b + 1).")
    said = _("Log-odds per standard deviation of how much more of it one answer has than the other: %(feature)s.")
    return said % {"feature": FEATURES[note["feature"]]}


def _clusters(note: dict, value) -> str:
    names = {"rater": _("raters"), "prompt": _("prompts")}
    counted = _(" and ").join(f"{count} {names[way]}" for way, count in zip(note["ways"], value, strict=True))
    said = _("Votes that belong together are taken as one: %(counted)s.") % {"counted": counted}
    return said if min(value) >= 20 else said + " " + _("With so few of them the intervals are rough.")


def _bootstrap(note: dict, value) -> str:
    said = ngettext("Intervals from %(count)s resample.", "Intervals from %(count)s resamples.", value)
    said %= {"count": value}
    if note["separated"]:
        said += " " + _("In %(count)s more a model won or lost everything, so that they had no ratings.") % {
            "count": note["separated"]
        }
    return said


TEXTS = {
    "simulated": lambda note, value: (
        _("%(count)s of these votes are by simulated raters, not by people.") % {"count": value}
    ),
    "few_votes": lambda note, value: (
        ngettext(
            "This slice has %(count)s vote that counts: far too few to tell models apart.",
            "This slice has %(count)s votes that count: too few to tell models apart.",
            value,
        )
        % {"count": value}
    ),
    "disconnected": lambda note, value: (
        _(
            "The models fall into %(count)s groups that no vote connects; only the largest is rated. "
            "Queue pairs between them."
        )
        % {"count": value}
    ),
    "lengths_unknown": lambda note, value: (
        _("%(count)s votes are left out, because the lengths of their answers are not known.") % {"count": value}
    ),
    "texts_unknown": lambda note, value: (
        _("%(count)s votes are left out, because the texts of their answers are not here.") % {"count": value}
    ),
    "undefined": lambda note, value: _("No rating: %(reason)s") % {"reason": UNDEFINED[note["reason"]]},
    "length_coefficient": lambda note, value: _feature({**note, "feature": "length", "alone": True}, value),
    "style_coefficient": _feature,
    "feature_left_out": lambda note, value: (
        _("No answer differs from another in this, so it is left out: %(feature)s.") % {"feature": FEATURES[value]}
    ),
    "davidson_nu": lambda note, value: (
        _("Davidson’s ν, how likely ties are: two equal models tie in %(percent)s %% of their votes.")
        % {"percent": round(100 * value / (2 + value))}
    ),
    "clusters": _clusters,
    "bootstrap": _bootstrap,
    "weights": lambda note, value: (
        _(
            "Each rater’s votes weigh as much as the noisy Bradley–Terry model trusts that rater; "
            "the lightest weigh %(least)s. Beside them stand the unweighted ratings."
        )
        % {"least": f"{value:.2f}"}
    ),
    "anchor_unrated": lambda note, value: (
        _("%(model)s has no rating here, so the mean stands at 1000 instead.") % {"model": value}
    ),
}
