"""Kinds of devices of a job: which workers may claim it, and when it is bound to a kind.

A job that asks for a CPU or a GPU is bound from the start. A job that asks for neither is bound by
its first claim, and stays bound once something is saved: what it creates is then never computed by
two kinds of devices, whose results differ by rounding.
"""

from typing import Any

from sqlalchemy import ColumnElement, case, null, select

from core.devices import DeviceKind
from core.tables import Artifact, Checkpoint, Job, Shard


def may_run_on(kind: DeviceKind) -> ColumnElement[bool]:
    """Select jobs that a worker with this kind of device may claim."""
    return Job.device_kind.is_(None) | (Job.device_kind == kind)


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
