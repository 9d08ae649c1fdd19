"""The prompts worth reading in an A/B: on which raters said one thing clearly, and on which they were divided."""

from collections import defaultdict
from dataclasses import dataclass

from feedbackhub.catalog.content import media_of, text_of
from feedbackhub.catalog.models import Output, Prompt
from feedbackhub.core.markdown import markdown
from feedbackhub.projects.models import Project
from feedbackhub.rating.models import Judgment

from .pair_votes import PairVote

EACH = 3  # examples of a kind
COMMENTS = 3  # shown, the latest


@dataclass
class Example:
    """Two answers to one prompt and what was said of them; texts as safe HTML, and plain as they came."""

    prompt: Prompt
    messages_html: list[dict]
    texts: tuple[str, str]
    plain: tuple[str, str]
    has_media: bool
    wins: int
    losses: int
    ties: int
    both_bad: int
    clear: int
    comments: list[str]


@dataclass
class _Said:
    outputs: tuple[int, int]
    votes: list[PairVote]

    def count(self, outcome: float | None) -> int:
        return sum(vote.outcome == outcome for vote in self.votes)

    @property
    def net(self) -> int:
        return self.count(1.0) - self.count(0.0)

    @property
    def clear(self) -> int:
        return sum(vote.strength == Judgment.Strength.CLEAR for vote in self.votes)


def examples(project: Project, votes: list[PairVote], *, each: int = EACH) -> dict[str, list[Example]]:
    """{for_a, for_b, contested}: the most decisive for either side (most votes for it, none against, most often
    "clearly"), and those with most votes on both sides. Only where both texts are known."""
    said: dict[tuple, list[PairVote]] = defaultdict(list)
    for vote in votes:
        if None not in vote.outputs:
            said[vote.outputs].append(vote)
    found = [_Said(outputs, of) for outputs, of in said.items()]
    sides = {"for_a": (1.0, 0.0), "for_b": (0.0, 1.0)}
    chosen = {
        name: sorted(
            (one for one in found if one.count(ours) and not one.count(theirs)),
            key=lambda one: (-abs(one.net), -one.clear, -one.votes[-1].judgment),
        )[:each]
        for name, (ours, theirs) in sides.items()
    }
    contested = (one for one in found if one.count(1.0) and one.count(0.0))
    chosen["contested"] = sorted(
        contested, key=lambda one: (-min(one.count(1.0), one.count(0.0)), abs(one.net), -one.votes[-1].judgment)
    )[:each]
    return _read(project, chosen)


def _read(project: Project, chosen: dict[str, list[_Said]]) -> dict[str, list[Example]]:
    ids = {pk for of in chosen.values() for one in of for pk in one.outputs}
    outputs = Output.objects.filter(prompt__project=project).select_related("prompt").in_bulk(ids)
    return {
        name: [_example(one, *(outputs[pk] for pk in one.outputs)) for one in of if set(one.outputs) <= outputs.keys()]
        for name, of in chosen.items()
    }


def _example(said: _Said, ours: Output, theirs: Output) -> Example:
    comments = [vote.comment for vote in reversed(said.votes) if vote.comment.strip()]
    return Example(
        prompt=ours.prompt,
        messages_html=[
            {"role": turn["role"], "html": markdown(text_of(turn["content"]))} for turn in ours.prompt.messages
        ],
        texts=(markdown(ours.text), markdown(theirs.text)),
        plain=(ours.text, theirs.text),
        has_media=bool(media_of(ours.parts) or media_of(theirs.parts)),
        wins=said.count(1.0),
        losses=said.count(0.0),
        ties=said.count(0.5),
        both_bad=said.count(None),
        clear=said.clear,
        comments=comments[:COMMENTS],
    )
