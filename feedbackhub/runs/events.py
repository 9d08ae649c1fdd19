"""events.jsonl, read from a byte on: whole lines only, whatever they hold; and what an event says about its run."""

import math
from dataclasses import dataclass
from pathlib import Path

from feedbackhub.core.json_reading import json_read

from .models import Run, RunEvent

CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Line:
    """One line of events.jsonl. `end` is the byte after its newline."""

    end: int
    t: float
    type: str
    data: dict


def storable(value):
    """`value` without what PostgreSQL's jsonb refuses: NUL characters, lone surrogates, numbers that are none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def line_read(raw: bytes, *, start: int, fallback_t: float) -> Line:
    """One line as an event; a line that is none becomes a warning that says where it is and how it begins."""
    end = start + len(raw) + 1
    text = raw.decode("utf-8", "replace")
    try:
        # NaN and Infinity are no JSON and no number that a chart can draw.
        event = json_read(text, parse_constant=lambda name: None)
        t, kind = float(event.pop("t")), event.pop("type")
        if not isinstance(kind, str) or not 0 < len(kind) <= 20 or not math.isfinite(t):
            raise ValueError("type")
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"events.jsonl, byte {start}: this line is no event: {text[:200]}"
        return Line(end, fallback_t, "warning", {"message": storable(message)})
    return Line(end, t, kind, storable(event))


def lines_after(path: Path, offset: int) -> list[Line]:
    """The whole lines of `path` from byte `offset` on, at most some 4 MiB of them; [] when there is none yet.

    A last line without its newline is still being written, and is left for the next time.
    """
    try:
        size = path.stat().st_size
        if size <= offset:
            return []
        with path.open("rb") as file:
            file.seek(offset)
            block = file.read(CHUNK_BYTES)
            while b"\n" not in block and (more := file.read(CHUNK_BYTES)):
                block += more
        written = path.stat().st_mtime
    except FileNotFoundError:
        return []
    lines, start = [], offset
    for raw in block.split(b"\n")[:-1]:
        if raw.strip():
            lines.append(line_read(raw, start=start, fallback_t=written))
        start += len(raw) + 1
    return lines


def run_fields(lines: list[Line]) -> dict:
    """What the events say last about the run: its progress, phase, step, max_steps, eta_seconds."""
    fields: dict = {}
    for line in lines:
        data = line.data
        if line.type in ("status", "metric"):
            for name in ("step", "max_steps"):
                if isinstance(data.get(name), int) and data[name] >= 0:
                    fields[name] = data[name]
        if line.type == "status":
            if isinstance(data.get("phase"), str):
                fields["phase"] = data["phase"][:40]
            if isinstance(data.get("progress"), int | float):
                fields["progress"] = min(1.0, max(0.0, float(data["progress"])))
            if "eta_seconds" in data and isinstance(data["eta_seconds"], int | float | None):
                fields["eta_seconds"] = data["eta_seconds"]
    return fields


def event_payload(event: RunEvent) -> dict:
    """An event as the API and the live page send it."""
    return {"id": event.pk, "t": event.t, "type": event.type, "data": event.data}


def run_payload(run: Run) -> dict:
    """A run's state as the live page sends it; `error` is {kind, message} or null."""
    error = {"kind": run.error_kind, "message": run.error_message} if run.error_message else None
    return {
        "id": run.pk,
        "state": run.state,
        "progress": run.progress,
        "phase": run.phase,
        "step": run.step,
        "max_steps": run.max_steps,
        "eta_seconds": run.eta_seconds,
        "attempts": run.attempts,
        "error": error,
    }
