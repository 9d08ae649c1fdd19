"""Several processes that make one training, started by `accelerate launch` or `torchrun`: who does what, and one end.

Each holds the whole model and computes its share of a step's rows; the gradients of all are summed, so that every one
makes the same step. Whatever they tell each other is told in rounds, in which each also says how it fares: when one
fails, runs out of memory or is asked to stop, all of them do, wherever they are.
"""

import contextlib
import ctypes
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

from .errors import Held, Stopped, TrainingError, explained, out_of_memory

# Nobody waits in vain: the end of a process closes its connections. One may work alone for long (samples, a merge).
PATIENCE = timedelta(days=1)
SUMMED_AT_ONCE = 1 << 24  # numbers
LAUNCHED = (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))  # as accelerate and torchrun say it; else alone
# What all of them do when they fare unlike, the first that one of them says: fail, go away, stop, use less memory.
FARES = ("failed", "held", "stopped", "memory")


class Processes:
    """This process among those of its run; alone unless a launcher says otherwise."""

    def __init__(self, rank: int = 0, count: int = 1):
        self.rank, self.count = rank, count

    @property
    def main(self) -> bool:
        """Whether it is the one that writes: events, checkpoints, samples, results."""
        return self.rank == 0

    def share(self, rows: list[int]) -> list[int]:
        """Which of the rows are its own. Rows that are sorted by length are shared fairly."""
        return rows[self.rank :: self.count]

    def part(self, rows: list[int]) -> list[int]:
        """Likewise, of rows whose order must stand: those of all processes, one after another, are the rows."""
        ends = [len(rows) * rank // self.count for rank in range(self.count + 1)]
        return rows[ends[self.rank] : ends[self.rank + 1]]

    # --- Rounds ------------------------------------------------------------------------------------------------------

    def together(self, work: Callable) -> list:
        """What `work` gives in each process, by rank; what one of them raises, all of them raise."""
        if self.count == 1:
            return [work()]
        try:
            found = work()
        except BaseException as error:
            if not getattr(error, "told", False):  # else it was raised by a round, in all of them
                self._round(None, error)
            raise
        return self._round(found)

    def main_first(self, work: Callable):
        """work(), after the main process has done it: the others find what it left."""
        if not self.main:
            self._round(None)
        found = work()
        if self.main and self.count > 1:
            self._round(None)
        return found

    def mean(self, values):
        """The mean of a tensor's numbers, those of the other processes included. All of them must ask, with any number
        of values."""
        if self.count == 1:
            return values.mean()
        parts = self._round((values.sum().item(), values.numel()))
        return values.new_tensor(sum(total for total, _ in parts) / sum(number for _, number in parts))

    def _round(self, value, error: BaseException | None = None) -> list:
        """Tell the others a value, or the error that stands in its way; returns the values by rank, or raises."""
        import torch.distributed as dist

        heard: list = [None] * self.count
        try:
            dist.all_gather_object(heard, (value, error and _fare(error)))
        except RuntimeError as lost:
            if error is not None and _fare(error)[0] == "failed":
                return heard
            raise _told(_lost(self.count)) from lost
        fares = [(FARES.index(fare[0]), rank, fare) for rank, (_, fare) in enumerate(heard) if fare]
        if not fares:
            return [value for value, _ in heard]
        _, rank, fare = min(fares)
        if rank == self.rank:
            raise _told(error)
        raise _told(_raised(fare, rank, self.count))

    # --- Sums --------------------------------------------------------------------------------------------------------

    def sum(self, tensors: list) -> None:
        """Add up each tensor over all processes, in place."""
        import torch
        import torch.distributed as dist

        while tensors:
            some, numbers = [], 0
            while tensors and (not some or numbers + tensors[0].numel() <= SUMMED_AT_ONCE):
                some.append(tensors[0])
                numbers, tensors = numbers + tensors[0].numel(), tensors[1:]
            flat = torch.cat([tensor.reshape(-1) for tensor in some])
            try:
                dist.all_reduce(flat)
            except RuntimeError as lost:
                raise _told(_lost(self.count)) from lost
            for tensor, summed in zip(some, flat.split([tensor.numel() for tensor in some])):
                tensor.copy_(summed.view_as(tensor))


ALONE = Processes()


def threads_give_way() -> None:
    """Let threads that wait spin for some microseconds and then sleep. OpenMP reads it when torch is loaded.

    By default they spin for milliseconds and keep a second busy process off the cores: two trainings on two cores each
    ran at a tenth of their speed then. Without any spinning one training alone takes a sixth more time.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Within it this process is one of those that its launcher started. Raises TrainingError when they do not meet."""
    count, rank, local = (int(os.environ.get(name, least)) for name, least in LAUNCHED)
    if count == 1:
        yield ALONE
        return
    threads_give_way()
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch
    import torch.distributed as dist

    devices = torch.cuda.device_count()
    if devices:
        torch.cuda.set_device(local % devices)
    apiece = devices >= int(os.environ.get("LOCAL_WORLD_SIZE", count))  # NCCL refuses a GPU that is shared
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if apiece else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        message = f"The {count} processes of this run do not meet: {error}"
        raise TrainingError("process_lost", message) from error
    try:
        yield Processes(rank, count)
    finally:
        dist.destroy_process_group()


def launch_missing() -> None:
    """Become the launcher of the processes that `accelerate launch --cpu` was asked for: without MPI it starts one, and
    does not tell it of the others. Raises TrainingError where their number is not known."""
    if "WORLD_SIZE" in os.environ or not {"MASTER_ADDR", "ACCELERATE_MIXED_PRECISION"} <= os.environ.keys():
        return
    import psutil

    asked = re.search(r"--num[-_]processes[= ](\d+)", " ".join(psutil.Process().parent().cmdline()))
    if not asked:
        message = (
            "accelerate launch was asked for several processes and started one. Use: torchrun --nproc-per-node 2 -m"
        )
        raise TrainingError("process_lost", f"{message} {' '.join(['training', *sys.argv[1:]])}")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: accelerate passes no signal on, and dies of it
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", asked[1], "-m", "training", *sys.argv[1:]]
    os.execv(sys.executable, [sys.executable, "-m", *command])


# --- How one fares, told to the others -------------------------------------------------------------------------------


def _fare(error: BaseException) -> tuple[str, str, str]:
    """(fare, kind, message)."""
    if isinstance(error, Stopped | Held):
        return type(error).__name__.lower(), "", ""
    if isinstance(error, TrainingError):
        return "failed", error.kind, error.message
    if isinstance(error, MemoryError | RuntimeError) and out_of_memory(error):
        return "memory", "", str(error)[:200]
    return "failed", *explained(error)


def _raised(fare: tuple[str, str, str], rank: int, count: int) -> BaseException:
    """What a process raises for another's sake."""
    name, kind, message = fare
    if name == "failed":
        return TrainingError(kind, f"Process {rank + 1} of {count}: {message}")
    return {"held": Held, "stopped": Stopped, "memory": MemoryError}[name](message)


def _told(error: BaseException) -> BaseException:
    """Marked as known to all processes."""
    error.told = True
    return error


def _lost(count: int) -> TrainingError:
    return TrainingError(
        "process_lost",
        f"Another of the {count} processes of this run ended without a word; the launcher's output says how. Often the "
        "machine killed it for want of memory. Run it again: it goes on from the last checkpoint.",
    )


def say(text: str) -> None:
    """A line on stderr, where a process that writes no log has something that must be seen."""
    print(f"process {os.environ.get('RANK', 0)}: {text}", file=sys.stderr, flush=True)
