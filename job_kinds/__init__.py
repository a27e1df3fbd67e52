"""Kinds of jobs. Each is a package with its request, its plan and its run.

Everything outside this package treats all kinds alike, through the interface in `base`.
"""

from job_kinds import augmentation, evaluation, generation, training
from job_kinds.base import Kind
from job_kinds.request import JobRequest

__all__ = ["KINDS", "JobRequest", "Kind"]

_kinds: tuple[Kind, ...] = (training.KIND, generation.KIND, evaluation.KIND, augmentation.KIND)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _kinds}
