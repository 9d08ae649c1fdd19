"""What ends a run before its time, and how that is said."""

import errno


class TrainingError(Exception):
    """Something that a person can put right, in words: what was wrong, where, and what to do.

    kind: a stable word for programs.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind
        self.message = message


class Held(Exception):
    """Another process works in the directory."""


class Stopped(Exception):
    """Somebody asked for the run to stop, and what resuming needs is on disk."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was refused, by the machine or by a GPU."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def explained(error: BaseException) -> tuple[str, str]:
    """(kind, message in words) of an error that nobody foresaw."""
    text = f"{type(error).__name__}: {error}"
    if out_of_memory(error):
        return "out_of_memory", (
            f"The machine ran out of memory ({str(error)[:200]}). Lower batch_size and raise gradient_accumulation by "
            "the same factor, or lower max_length; then resume."
        )
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
        return "disk_full", "The disk that holds the run directory is full. Make room on it, then resume."
    if isinstance(error, PermissionError):
        return "no_permission", f"{text}. The training process may not read or write that file."
    return "internal", f"{text[:1000]}. This was not foreseen; log.txt has the traceback."
