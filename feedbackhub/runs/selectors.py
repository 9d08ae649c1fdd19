"""Reads on runs for pages and API: events, curves, samples, warnings, the log."""

from . import directory
from .events import event_payload
from .models import Run, RunEvent

EVENTS_AT_MOST = 1000
POINTS_AT_MOST = 500


def events_after(run: Run, after: int | None = None, limit: int = 200) -> list[RunEvent]:
    """The run's events with an id above `after` in the order they were written, at most `limit` (and 1,000)."""
    events = RunEvent.objects.filter(run=run).order_by("pk")
    if after is not None:
        events = events.filter(pk__gt=after)
    return list(events[: max(1, min(limit, EVENTS_AT_MOST))])


def log_tail(run: Run, lines: int = 200) -> str:
    """The last lines of the run's log.txt, or "" when nothing was logged yet."""
    return directory.log_tail(run.directory, lines)


def series(run: Run) -> dict[str, dict[str, list[list[float]]]]:
    """`{split: {metric: [[step, value], …]}}` of the run's metric events, at most 500 points a curve.

    A step that was done again after a crash counts as it was done last. Of a longer curve every k-th point is taken,
    and always the last.
    """
    curves: dict[str, dict[str, dict[int, float]]] = {}
    for data in RunEvent.objects.filter(run=run, type="metric").order_by("offset").values_list("data", flat=True):
        step, values = data.get("step"), data.get("values")
        if not isinstance(step, int) or not isinstance(values, dict):
            continue
        split = curves.setdefault(str(data.get("split") or "train"), {})
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                split.setdefault(name, {})[step] = value
    return {
        split: {name: _thinned(sorted(points.items())) for name, points in metrics.items()}
        for split, metrics in curves.items()
    }


def _thinned(points: list[tuple[int, float]]) -> list[list[float]]:
    stride = -(-len(points) // POINTS_AT_MOST)
    kept = points[::stride]
    if len(kept) > 1 and kept[-1] != points[-1]:
        kept[-1] = points[-1]
    return [list(point) for point in kept]


def samples(run: Run) -> list[dict]:
    """`[{id, prompt, before, during, step, after}]`: a sampled prompt and the model's answers, null until there is one.

    during: the latest while it trains, after so many steps.
    """
    found: dict = {}
    for data in RunEvent.objects.filter(run=run, type="sample").order_by("offset").values_list("data", flat=True):
        unknown = {"before": None, "during": None, "step": None, "after": None}
        row = found.setdefault(str(data.get("id")), {"id": data.get("id"), "prompt": data.get("prompt", ""), **unknown})
        if data.get("stage") in ("before", "during", "after"):
            row[data["stage"]] = data.get("text", "")
            row["step"] = data.get("step") or row["step"]
    return list(found.values())


def warnings(run: Run) -> list[dict]:
    """The run's warnings as events are sent: `[{id, t, type, data: {message}}]`."""
    return [event_payload(event) for event in RunEvent.objects.filter(run=run, type="warning").order_by("offset")]
