"""What a run here computes on, and how much memory it has, holds and could still take."""

import platform
from pathlib import Path


def device(precision: str) -> dict:
    """{kind, name, threads, precision, memory_bytes, free_bytes} of what a run here would use."""
    import psutil
    import torch

    from .models import device_and_dtype

    place, dtype = device_and_dtype(precision)
    known = {"kind": place.type, "precision": str(dtype).removeprefix("torch."), "threads": torch.get_num_threads()}
    if place.type == "cuda":
        total, name = torch.cuda.get_device_properties(0).total_memory, torch.cuda.get_device_name(0)
    else:
        total, name = psutil.virtual_memory().total, processor()
    return {**known, "name": name, "memory_bytes": total, "free_bytes": memory_free()}


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def synchronise() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def memory_peak() -> int:
    from .run import peak_memory_bytes

    return peak_memory_bytes()


def memory_now() -> int:
    from .loop import memory_bytes

    return memory_bytes()


def memory_free() -> int:
    """Bytes that could still be taken on the device."""
    import psutil
    import torch

    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
