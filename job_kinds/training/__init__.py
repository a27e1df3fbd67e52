"""Training jobs: train a model on a dataset."""

from core.tables import Job, JobKind
from job_kinds.base import Finish
from job_kinds.lease import Lease
from job_kinds.results import TrainingResult
from job_kinds.training import plan as planning
from job_kinds.training.request import TrainingPlan, TrainingRequest
from modalities import registry


class Training:
    """Implementation of job_kinds.base.Kind."""

    name, scope, queue = JobKind.TRAINING, "train", "training"
    links = ("metrics", "checkpoints", "previews")
    request, plan_view = TrainingRequest, TrainingPlan
    result_view = TrainingResult
    specs = tuple(modality.training_spec for modality in registry.installed().values())
    plan = staticmethod(planning.plan)

    def run(self, job: Job, lease: Lease) -> Finish:
        from job_kinds.training import run  # torch is slow to load

        return run.run(job, lease)


KIND = Training()
