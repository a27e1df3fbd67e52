"""Generation jobs: generate any number of samples of a model into files."""

from core.tables import Job, JobKind
from job_kinds.base import Finish
from job_kinds.generation import plan as planning
from job_kinds.generation.request import GenerationPlan, GenerationRequest, GenerationSpec
from job_kinds.lease import Lease
from job_kinds.results import GenerationResult


class Generation:
    """Implementation of job_kinds.base.Kind."""

    name, scope, queue = JobKind.GENERATION, "sample", "generation"
    links = ("artifacts",)
    request, plan_view = GenerationRequest, GenerationPlan
    result_view = GenerationResult
    specs = (GenerationSpec,)
    plan = staticmethod(planning.plan)

    def run(self, job: Job, lease: Lease) -> Finish:
        from job_kinds.generation import run  # torch is slow to load

        return run.generate(job, lease)


KIND = Generation()
