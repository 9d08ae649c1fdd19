"""Signals and the report: who seems not to read, in words; proposals that a person answers; what is kept."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from feedbackhub.rating import quality_report
from feedbackhub.rating.decisions import decision_undo, rater_decide
from feedbackhub.rating.interventions import work_void
from feedbackhub.rating.models import Judgment, JudgmentItem
from feedbackhub.rating.quality_report import report
from feedbackhub.rating.quality_signals import proposals, signals

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def busy_machine_or_not(monkeypatch):
    """No report is slow unless a test says so."""
    monkeypatch.setattr(quality_report, "QUICK", float("inf"))


@pytest.fixture
def crowd(project, tasks, alice, bob, carol):
    """crowd({bob: verdicts}, seconds={bob: 0.5}): raters' verdicts on the same tasks, put straight into the tables.

    A verdict is "red" or "blue" (the model), "first" or "second" (the side), "tie" or "bad"; sides alternate.
    """

    def make(said, seconds=None, names=("red", "blue")):
        made = tasks(max(map(len, said.values())), *names)
        now = timezone.now()
        for rater, verdicts in said.items():
            for number, (task, verdict) in enumerate(zip(made, verdicts)):
                outputs = sorted(task.outputs.select_related("model"), key=lambda o: o.model.name, reverse=number % 2)
                judgment = Judgment.objects.create(
                    project=project,
                    kind="pairwise",
                    source="simulated" if rater.is_simulated else "rater",
                    task=task,
                    prompt=task.prompt,
                    rater=rater,
                    key=uuid.uuid4(),
                    none_acceptable=verdict == "bad",
                    duration_ms=int(1000 * (seconds or {}).get(rater, 9)),
                    occurred_at=now + timedelta(seconds=number),
                )
                for position, output in enumerate(outputs):
                    won = verdict in (output.model.name, ("first", "second")[position])
                    tier = 0 if won or verdict in ("tie", "bad") else 1
                    JudgmentItem.objects.create(
                        judgment=judgment, model=output.model, output=output, position=position, tier=tier
                    )
        return made

    return make


def kinds(project, rater):
    return {signal.kind for signal in signals(project, report(project)).get(rater.pk, [])}


MIXED = ["red", "blue", "red", "red", "blue", "tie"] * 5


def test_attentive_raters_give_no_signal(crowd, project, alice, bob, carol):
    crowd({alice: MIXED, bob: MIXED, carol: MIXED})
    assert signals(project, report(project)) == {}
    assert proposals(project, report(project)) == []


def test_who_is_much_quicker_than_the_others_is_seen_but_no_program(crowd, project, alice, bob, carol):
    carol.is_simulated = True
    carol.save()
    crowd({alice: MIXED, bob: MIXED, carol: MIXED}, seconds={bob: 0.5, carol: 0.1, alice: 9})
    assert "speed" not in kinds(project, carol)
    assert "speed" not in kinds(project, bob)  # the median is bob's own: there is nobody to compare with
    crowd({alice: MIXED * 3}, seconds={alice: 9})
    assert "speed" in kinds(project, bob)


def test_a_side_that_is_always_taken_is_seen_and_its_streak_is_no_second_signal(crowd, project, alice, bob, carol):
    crowd({alice: MIXED, carol: MIXED, bob: ["first"] * 30})
    found = {signal.kind: signal.text for signal in signals(project, report(project))[bob.pk]}
    assert "streak" not in found
    assert "shown first was preferred in 30 of 30" in found["side"]


def test_a_streak_is_seen_where_the_rater_answers_differently_otherwise(crowd, project, bob):
    crowd({bob: ["tie"] * 20 + ["red", "red", "blue", "blue"] * 15})
    assert kinds(project, bob) == {"streak"}


def test_who_mostly_errs_is_seen(crowd, project, alice, bob, carol, eve, dave):
    from feedbackhub.projects.models import Membership

    for rater in (eve, dave):
        Membership.objects.create(project=project, user=rater, role="rater")
    wrong = {"red": "blue", "blue": "red", "tie": "tie"}
    flipped = [wrong[verdict] for verdict in MIXED * 2]
    crowd({alice: MIXED * 2, carol: MIXED * 2, dave: MIXED * 2, eve: MIXED * 2, bob: flipped})
    (proposal,) = proposals(project, report(project))
    assert proposal.rater == bob
    assert "reliability" in proposal.kinds
    found = {one.name: one.reliability.accuracy for one in report(project).raters}
    assert found["bob"] < 0.5 < found["alice"]


def test_a_proposal_is_answered_once_and_comes_back_with_more_judgments(crowd, project, alice, bob, carol):
    crowd({alice: MIXED, carol: MIXED, bob: ["first"] * 30})
    (proposal,) = proposals(project, report(project))
    assert proposal.rater == bob

    def decide(action, **given):
        given |= {"signals": proposal.kinds.split(","), "because": proposal.because, "reason": "Looked at them."}
        return rater_decide(project=project, rater=bob, action=action, by=alice, **given)

    for action, given in (("dismiss", {}), ("weigh", {"weight": 0.5}), ("suspend", {})):
        decision = decide(action, **given)
        assert proposals(project, report(project)) == []
        decision_undo(decision=decision, by=alice)
        assert len(proposals(project, report(project))) == 1
    decide("dismiss")
    crowd({bob: ["first"] * 131})
    assert [one.rater for one in proposals(project, report(project))] == [bob]


def test_a_report_is_kept_until_something_changes(crowd, project, alice, bob, carol, django_assert_max_num_queries):
    crowd({alice: MIXED, bob: MIXED, carol: MIXED})
    first = report(project)
    with django_assert_max_num_queries(3):
        assert report(project).made_at == first.made_at
    work_void(by=alice, project=project, rater=bob, reason="A test.")
    assert report(project).agreement["judgments"] == first.agreement["judgments"] - len(MIXED)
    assert report(project, anew=True).made_at > report(project).made_at - timedelta(seconds=60)


def test_a_slow_report_is_shown_for_a_while_with_its_time(crowd, client_of, project, alice, bob, carol, monkeypatch):
    monkeypatch.setattr(quality_report, "QUICK", 0)  # any report is slow
    monkeypatch.setattr(quality_report, "SHARE", 1_000_000)
    crowd({alice: MIXED, bob: MIXED})
    first = report(project)
    crowd({carol: MIXED})
    assert report(project).made_at == first.made_at
    url = f"/p/{project.slug}/rate/quality/"
    assert "30 judgments have come since" in client_of(alice).get(url).content.decode()
    page = client_of(alice).get(f"{url}?anew=1", follow=True).content.decode()
    assert "have come since" not in page
    assert report(project).made_at > first.made_at


def test_grades_have_their_own_agreement(project, answers, alice, bob, client_of):
    from feedbackhub.catalog.models import Output
    from feedbackhub.rating.models import Task

    project.task_kind, project.criteria = "scores", [{"key": "truth", "label": "Truth", "min": 1, "max": 5}]
    project.save()
    answers(4, "red")
    for number, output in enumerate(Output.objects.filter(prompt__project=project)):
        task = Task.objects.create(
            project=project, prompt=output.prompt, kind="scores", outputs_key=str(number), judgments_wanted=2
        )
        for rater, mark in ((alice, number + 1), (bob, min(5, number + 2))):
            judgment = Judgment.objects.create(
                project=project, kind="scores", source="rater", task=task, rater=rater, occurred_at=timezone.now()
            )
            JudgmentItem.objects.create(
                judgment=judgment, model=output.model, output=output, position=0, scores={"truth": mark}
            )
    (graded,) = report(project).graded
    values = {one.name: one.value for one in graded.statistics}
    assert (graded.name, graded.items, graded.judgments) == ("Truth", 4, 8)
    # by hand: D_o = 1, D_e = 2 (8·Σx² − (Σx)²) / (8·7) with Σx = 24, Σx² = 84
    assert values["alpha_interval"] == pytest.approx(1 - 1 / (2 * (8 * 84 - 24**2) / 56))
    page = client_of(alice).get(f"/p/{project.slug}/rate/quality/").content.decode()
    assert "Agreement on grades" in page
    assert "Truth" in page


def test_how_clearly_is_graded_where_it_was_said(crowd, project, bob, carol):
    crowd({bob: ["red", "blue", "red", "tie"], carol: ["red", "blue", "blue", "tie"]})
    assert report(project).graded == []
    Judgment.objects.filter(rater__in=(bob, carol), task__in=Judgment.objects.values("task")).update(strength="clear")
    (graded,) = report(project, anew=True).graded
    assert (graded.name, graded.items, graded.judgments) == ("How clearly", 4, 8)
    assert graded.statistics[0].value == pytest.approx(graded.statistics[1].value, abs=0.2)


def test_circles_are_named(project, judged, tasks, leased, bob, client_of, alice):
    above = {frozenset(pair): pair for pair in (("red", "blue"), ("blue", "green"), ("green", "red"))}
    for pair in above.values():
        tasks(1, *pair)
        while lease := leased(bob):
            judged(bob, *above[frozenset(output.model.name for output in lease.outputs)], lease=lease)
    found = report(project)
    assert (found.triads.triads, found.triads.circular, found.triads.consistency) == (1, 1, 0)
    assert found.raters[0].triads.circular == 1
    page = client_of(alice).get(f"/p/{project.slug}/rate/quality/").content.decode()
    assert "1 of 1 decided triads are circular" in page
