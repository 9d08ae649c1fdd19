"""Tallies equal what the judgments in force come to, after whatever sequence of actions; and can be mended."""

import random
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from feedbackhub.rating.models import Judgment, PairTally, RankingTally
from feedbackhub.rating.services import judgment_undo, tallies_check, tallies_rebuild

pytestmark = pytest.mark.django_db
MODELS = ("red", "green", "blue", "grey")


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_judgments_edits_and_undos(tasks, leased, judged, bob, carol, project, seed):
    generator = random.Random(seed)
    tasks(8, *MODELS, kind="ranking", outputs_per_task=3, judgments_wanted=2, category="long")
    tasks(8, *MODELS, kind="pairwise", judgments_wanted=2)
    mine = {bob: [], carol: []}
    leases = {}
    for _ in range(60):
        rater = generator.choice([bob, carol])
        action = generator.random()
        if action < 0.6 or not mine[rater]:
            lease = leased(rater)
            judgment = judged(rater, *_order(generator, lease), lease=lease, **_fields(generator)).judgment
            leases[judgment.task_id, rater] = lease
            mine[rater].append(judgment)
        else:
            judgment = mine[rater].pop(generator.randrange(len(mine[rater])))
            if action < 0.8:
                judgment_undo(rater=rater, judgment=judgment)
            else:
                lease = leases[judgment.task_id, rater]
                order = _order(generator, lease)
                edit = judged(rater, *order, lease=lease, supersedes=judgment.pk, **_fields(generator))
                mine[rater].append(edit.judgment)
        assert tallies_check(project=project) == []
    before = _stored(project)
    tallies_rebuild(project=project)
    assert _stored(project) == before
    assert before[0]
    assert before[1]


def _order(generator, lease) -> list:
    names = [output.model.name for output in lease.outputs]
    generator.shuffle(names)
    return [tuple(names)] if generator.random() < 0.2 else [tuple(names[:1]), tuple(names[1:])]


def _fields(generator) -> dict:
    return {"none_acceptable": generator.random() < 0.2}


def _stored(project) -> tuple[list, list]:
    pairs = PairTally.objects.filter(project=project).values_list(
        "category", "source", "model_a", "model_b", "wins_a", "wins_b", "ties", "both_bad"
    )
    patterns = RankingTally.objects.filter(project=project).values_list("category", "source", "pattern", "count")
    return sorted(pairs), sorted(patterns)


def test_a_difference_is_found_and_mended(tasks, judged, bob, project):
    tasks(2)
    judged(bob, "red", "blue")
    PairTally.objects.update(wins_a=7)
    (difference,) = tallies_check(project=project)
    assert (difference["stored"], difference["judged"]) == ((7, 0, 0, 0), (1, 0, 0, 0))
    with pytest.raises(CommandError, match="manage.py tallies rebuild kitchen"):
        call_command("tallies", "check", project.slug, stdout=StringIO())
    call_command("tallies", "rebuild", project.slug, stdout=StringIO())
    said = StringIO()
    call_command("tallies", "check", project.slug, stdout=said)
    assert "agree" in said.getvalue()


def test_a_judgment_that_was_not_counted_is_in_no_tally(tasks, judged, bob, project):
    tasks(1)
    judged(bob)
    Judgment.objects.update(counted=False)
    tallies_rebuild(project=project)
    assert not PairTally.objects.exists()
