"""What each metric is called on a page, and which way is better."""

from dataclasses import dataclass, replace

from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Metric:
    label: str
    higher_is_better: bool
    help: str
    digits: int = 2
    minor: bool = False  # told below the others


METRICS = {
    "rouge1": Metric("ROUGE-1", True, _("Words shared with the reference (F1, 0 to 100).")),
    "rouge2": Metric("ROUGE-2", True, _("Pairs of words shared with the reference (F1, 0 to 100).")),
    "rougeL": Metric("ROUGE-L", True, _("Longest common word sequence with the reference (F1, 0 to 100).")),
    "rougeLsum": Metric("ROUGE-Lsum", True, _("ROUGE-L with each line as a sentence (F1, 0 to 100).")),
    "bleu": Metric(
        "BLEU", True, _("Word sequences up to four shared with the references, over the corpus (0 to 100).")
    ),
    "chrf": Metric("chrF", True, _("Character sequences shared with the references, over the corpus (0 to 100).")),
    "exact_match": Metric(
        _("Exact match"), True, _("Answers that are a right one, but for case, punctuation and articles (%).")
    ),
    "f1": Metric("F1", True, _("Words shared with the right answer (SQuAD), or F1 of the class “yes” (0 to 100).")),
    "acc": Metric(_("Accuracy"), True, _("Questions whose likeliest choice is right (%).")),
    "acc_norm": Metric(
        _("Accuracy, length-normalised"), True, _("The same with each choice’s likelihood over its characters (%).")
    ),
    "acc_bytes": Metric(_("Accuracy, over bytes"), True, _("The same over its bytes (%)."), minor=True),
    "mcc": Metric("MCC", True, _("Matthews’ correlation of choice and truth (−100 to 100).")),
    "reward": Metric(
        _("Reward"), True, _("A reward model’s score; σ of a difference is the chance to be preferred."), digits=3
    ),
    "passed": Metric(_("Passed"), True, _("Items whose answers break no rule (%).")),
    "perplexity": Metric(_("Perplexity"), False, _("How surprised the model is by each token; lower is better.")),
    "base_perplexity": Metric(_("Perplexity of the base"), False, _("The same text, with the adapter switched off.")),
    "perplexity_ratio": Metric(
        _("Perplexity ratio"), False, _("Tuned over base: 1 is unchanged, above 1 it forgot."), digits=3
    ),
    "accuracy": Metric(
        _("General questions"), True, _("Simple questions of all kinds whose likeliest answer is right (%).")
    ),
    "base_accuracy": Metric(
        _("General questions, base"), True, _("The same questions, with the adapter switched off (%).")
    ),
    "accuracy_change": Metric(
        _("General questions, change"), True, _("Tuned minus base, in percentage points: below 0 it forgot.")
    ),
}


PARTS = {"_precision": _("precision"), "_recall": _("recall")}
for _name in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
    for _suffix, _part in PARTS.items():
        METRICS[_name + _suffix] = Metric(format_lazy("{} {}", METRICS[_name].label, _part), True, "", minor=True)
for _order in (1, 2, 3):
    METRICS[f"bleu{_order}"] = Metric(f"BLEU-{_order}", True, "", minor=True)


def metric_of(name: str) -> Metric:
    """The metric called `name`; one that this page does not know is shown under its own name.

    `rule:NAME` and `tag:NAME` are shares of a suite of the project's own.
    """
    plain, _comma, filtered = name.partition(",")
    if filtered and plain in METRICS:  # a task's filter, as the harness names it
        known = METRICS[plain]
        return replace(known, label=format_lazy("{} ({})", known.label, filtered))
    if name.startswith("pass@"):
        return Metric(name, True, _("The chance that one of so many answers passes its tests (%)."))
    kind, _colon, own = name.partition(":")
    if own and kind == "rule":
        return Metric(format_lazy(_("Rule “{}”"), own), True, "")
    if own and kind == "tag":
        return Metric(format_lazy(_("Tag “{}”"), own), True, "")
    return METRICS.get(name) or Metric(name.replace("_", " "), True, "")


def group_label(key: str) -> str:
    """What a group of failures (`rule:NAME`, `tag:NAME`, or "" for all) is called on a page."""
    return str(metric_of(key).label) if key else gettext("All failures")
