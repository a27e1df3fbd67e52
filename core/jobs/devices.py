"""Which workers may claim a job: its kind of device, and the format of its specification.

A job that asks for a CPU or a GPU is bound from the start. A job that asks for neither is bound by
its first claim, and stays bound once something is saved: what it creates is then never computed by
two kinds of devices, whose results differ by rounding.
"""

from typing import Any

from sqlalchemy import ColumnElement, case, null, select

from core.devices import DeviceKind
from core.tables import JOB_FORMAT, Artifact, Checkpoint, Job, Shard


def may_run_on(kind: DeviceKind) -> ColumnElement[bool]:
    """Select jobs that a worker of this version with this kind of device may claim.

    During an upgrade, jobs of a newer format are left to newer workers.
    """
    is_known = Job.format <= JOB_FORMAT
    return is_known & (Job.device_kind.is_(None) | (Job.device_kind == kind))


def initial_kind(device: str) -> DeviceKind | None:
    """Return the kind that a new job is bound to; None if the request leaves it open."""
    return None if device == "auto" else DeviceKind(device)


def kept_kind() -> ColumnElement[Any]:
    """Return the kind that a job is bound to when it leaves its worker, for an UPDATE of jobs."""
    saved = [
        select(table.id).where(table.job_id == Job.id).exists()
        for table in (Checkpoint, Shard, Artifact)
    ]
    is_bound = (Job.device != "auto") | saved[0] | saved[1] | saved[2]
    return case((is_bound, Job.device_kind), else_=null())
