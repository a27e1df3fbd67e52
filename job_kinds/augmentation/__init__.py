"""Augmentation jobs: create a larger dataset from an existing one."""

from core.augmentation import AugmentationSpec
from core.jobs import NewJob
from core.tables import Job, JobKind
from job_kinds.augmentation.request import AugmentationPlan, AugmentationRequest
from job_kinds.base import Finish, OpenStream
from job_kinds.lease import Lease
from job_kinds.results import AugmentationResult


class Augmentation:
    """Implementation of job_kinds.base.Kind."""

    name, scope, queue = JobKind.AUGMENTATION, "train", "evaluation"
    links = ("artifacts",)
    request, plan_view = AugmentationRequest, AugmentationPlan
    result_view = AugmentationResult
    specs = (AugmentationSpec,)

    def plan(
        self, tenant_id: str, request: AugmentationRequest, seed: int, open_stream: OpenStream
    ) -> NewJob | AugmentationPlan:
        from job_kinds.augmentation import plan  # numpy is slow to load

        return plan.plan(tenant_id, request, seed)

    def run(self, job: Job, lease: Lease) -> Finish:
        from job_kinds.augmentation import run  # torch is slow to load

        return run.augment(job, lease)


KIND = Augmentation()
