class TrainingError(Exception):
    """Something that a person can put right, in words: what was wrong, where, and what to do.

    kind: a stable word for programs.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind
        self.message = message


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was refused, by the machine or by a GPU."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said
