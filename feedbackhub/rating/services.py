"""The room's writes, gathered for those above. Each subject has its own file."""

from . import places
from .checks import attention_create, gold_create, gold_retire
from .importing import ImportedItem, ImportedJudgment, judgments_import
from .interventions import intervention_undo, lease_reassign, task_reopen, work_void
from .judgments import Recorded, judgment_record, judgment_undo
from .leases import (
    Lease,
    lease_held,
    leases_reclaim,
    open_task_of_pair,
    raised_open,
    task_next,
    task_priority_set,
    task_release,
    task_skip,
    tasks_raise,
)
from .own_pairs import pair_task
from .tally import tallies_check, tallies_rebuild
from .tasks import TasksCreated, tasks_create, tasks_preview

__all__ = [
    "ImportedItem",
    "ImportedJudgment",
    "Lease",
    "Recorded",
    "TasksCreated",
    "attention_create",
    "gold_create",
    "gold_retire",
    "intervention_undo",
    "judgment_record",
    "judgment_undo",
    "judgments_import",
    "lease_held",
    "lease_reassign",
    "leases_reclaim",
    "open_task_of_pair",
    "pair_task",
    "raised_open",
    "sweep",
    "tallies_check",
    "tallies_rebuild",
    "task_next",
    "task_priority_set",
    "task_release",
    "task_reopen",
    "task_skip",
    "tasks_create",
    "tasks_preview",
    "tasks_raise",
    "work_void",
]


def sweep() -> None:
    """Open what expired leases hold, also in projects where nobody asks for a task."""
    leases_reclaim()
    places.sweep()
