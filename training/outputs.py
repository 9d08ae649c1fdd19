"""Answers that a run writes, whoever writes them: how they are asked for, and which are there already."""

import hashlib
import json
import os
from pathlib import Path

OUTPUTS = "outputs.jsonl"


def stream_seed(*parts: object) -> int:
    """A seed that follows from these parts alone, whatever batch the answer is written in."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1


def with_system(messages: list[dict], system: str | None) -> list[dict]:
    """The conversation with this system prompt, unless it has one of its own; without either the template's default."""
    if not system or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


def outputs_done(path: Path) -> set[tuple[str, int]]:
    """(id as JSON, index) of the answers that are there; a last line that a power loss has torn is cut off."""
    if not path.exists():
        return set()
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    rows = (json.loads(line) for line in whole.splitlines() if line.strip())
    return {(json.dumps(row["id"]), row["index"]) for row in rows}
