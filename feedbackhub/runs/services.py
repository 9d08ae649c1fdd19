def run_group(run_id: int) -> str:
    """The live group of everyone who watches this run."""
    return f"run.{run_id}"


def sweep() -> None:
    """Nothing queued here yet."""
