"""What each metric is called on a page, and which way is better."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Metric:
    label: str
    higher_is_better: bool
    help: str
    digits: int = 2


METRICS = {
    "rouge1": Metric("ROUGE-1", True, _("Words shared with the reference (F1, 0 to 100).")),
    "rouge2": Metric("ROUGE-2", True, _("Pairs of words shared with the reference (F1, 0 to 100).")),
    "rougeL": Metric("ROUGE-L", True, _("Longest common word sequence with the reference (F1, 0 to 100).")),
    "bleu": Metric(
        "BLEU", True, _("Word sequences up to four shared with the references, over the corpus (0 to 100).")
    ),
    "chrf": Metric("chrF", True, _("Character sequences shared with the references, over the corpus (0 to 100).")),
    "perplexity": Metric(_("Perplexity"), False, _("How surprised the model is by each token; lower is better.")),
    "base_perplexity": Metric(_("Perplexity of the base"), False, _("The same text, with the adapter switched off.")),
    "perplexity_ratio": Metric(
        _("Perplexity ratio"), False, _("Tuned over base: 1 is unchanged, above 1 it forgot."), digits=3
    ),
}


def metric_of(name: str) -> Metric:
    """The metric called `name`; one that this page does not know is shown under its own name."""
    return METRICS.get(name) or Metric(name.replace("_", " "), True, "")
