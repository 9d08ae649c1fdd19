"""What each metric is called on a page, and which way is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    label: str
    higher_is_better: bool
    help: str
    digits: int = 2


METRICS = {
    "rouge1": Metric("ROUGE-1", True, "Words shared with the reference (F1, 0 to 100)."),
    "rouge2": Metric("ROUGE-2", True, "Pairs of words shared with the reference (F1, 0 to 100)."),
    "rougeL": Metric("ROUGE-L", True, "Longest common word sequence with the reference (F1, 0 to 100)."),
    "bleu": Metric("BLEU", True, "Word sequences up to four shared with the references, over the corpus (0 to 100)."),
    "chrf": Metric("chrF", True, "Character sequences shared with the references, over the corpus (0 to 100)."),
    "perplexity": Metric("Perplexity", False, "How surprised the model is by each token; lower is better."),
    "base_perplexity": Metric("Perplexity of the base", False, "The same text, with the adapter switched off."),
    "perplexity_ratio": Metric(
        "Perplexity ratio", False, "Tuned over base: 1 is unchanged, above 1 it forgot.", digits=3
    ),
}


def metric_of(name: str) -> Metric:
    """The metric called `name`; one that this page does not know is shown under its own name."""
    return METRICS.get(name) or Metric(name.replace("_", " "), True, "")
