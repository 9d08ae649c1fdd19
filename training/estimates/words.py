"""An estimate for people."""


def words(found: dict) -> list[str]:
    """The estimate for people, a line each."""
    memory, rows, where = found["memory"], found["rows"], found["device"]
    sizes = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in memory["parts"].items())
    times = ", ".join(f"{name} {duration(seconds)}" for name, seconds in found["parts"].items())
    fits = "fits" if memory["fits"] else "does NOT fit"
    speed = found["tokens_per_second"] or 0
    return [
        f"{found['recipe']} on {where['name']} ({where['precision']}, {where['threads']} threads)",
        f"rows    {rows['used']} of {rows['given']} used, {rows['cut']} lose the beginning of their prompt, "
        f"{rows['dropped']} too long; tokens: median {rows['tokens']['median']}, longest {rows['tokens']['longest']}",
        f"time    about {duration(found['seconds'])}: {found['steps']} steps, {speed:.0f} tokens/s ({times})",
        f"memory  about {memory['peak_bytes'] / 2**30:.2f} GiB of {where['memory_bytes'] / 2**30:.1f}: {fits} "
        f"(GiB: {sizes})",
    ]


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
