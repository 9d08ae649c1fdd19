def sweep() -> None:
    """Nothing queued here yet."""
