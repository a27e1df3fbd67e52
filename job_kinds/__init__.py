"""Kinds of jobs. Each is a package with its request, its plan and its run.

Everything outside this package treats all kinds alike, through the interface in `base`.
"""

from core.tables import JobKind
from job_kinds import augmentation, evaluation, generation, training
from job_kinds.base import Kind
from job_kinds.request import JobRequest

__all__ = ["KINDS", "JobRequest", "Kind", "get"]

_kinds: tuple[Kind, ...] = (training.KIND, generation.KIND, evaluation.KIND, augmentation.KIND)
KINDS = {kind.name: kind for kind in _kinds}


def get(name: str) -> Kind:
    """Return the kind of job with the name."""
    return KINDS[JobKind(name)]
