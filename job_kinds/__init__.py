"""Kinds of jobs. Each is a package with its request, its plan and its run.

Everything outside this package treats all kinds alike, through the interface in `base`.
"""

from core.tables import JobKind
from job_kinds import augmentation, evaluation, training
from job_kinds.base import Kind

KINDS: dict[JobKind, Kind] = {
    kind.name: kind for kind in (training.KIND, evaluation.KIND, augmentation.KIND)
}


def get(name: str) -> Kind:
    """Return the kind of job with the name."""
    return KINDS[JobKind(name)]
