class TrainingError(Exception):
    """Something that a person can put right, in words: what was wrong, where, and what to do.

    kind: a stable word for programs.
    """

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind
        self.message = message
