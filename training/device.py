"""What a run here computes on, and how much memory it has, holds and could still take."""

import platform
import resource
import sys
from pathlib import Path


def device(precision: str) -> dict:
    """{kind, name, threads, precision, memory_bytes, free_bytes} of what a run here would use."""
    import psutil
    import torch

    place, dtype = device_and_dtype(precision)
    known = {"kind": place.type, "precision": str(dtype).removeprefix("torch."), "threads": torch.get_num_threads()}
    if place.type == "cuda":
        total, name = torch.cuda.get_device_properties(0).total_memory, torch.cuda.get_device_name(0)
    else:
        total, name = psutil.virtual_memory().total, processor()
    return {**known, "name": name, "memory_bytes": total, "free_bytes": memory_free()}


def device_and_dtype(precision: str):
    """(torch device, dtype) to work on: bf16 on a GPU or a CPU that computes in it, else fp32."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision != "auto":
        return device, {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    fast = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device, torch.bfloat16 if fast else torch.float32


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
    """The most bytes this process has held: of the GPU where one is used, else of the machine."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_now() -> int:
    """Bytes in use now: of the GPU where there is one, else this process's resident memory."""
    import psutil
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else psutil.Process().memory_info().rss


def memory_free() -> int:
    """Bytes that could still be taken on the device."""
    import psutil
    import torch

    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available
