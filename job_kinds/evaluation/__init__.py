"""Evaluation jobs: compare samples of a model with real items."""

from core.evaluation import EvaluationSpec
from core.tables import Job, JobKind
from job_kinds.base import Finish
from job_kinds.evaluation import plan as planning
from job_kinds.evaluation.request import EvaluationPlan, EvaluationRequest
from job_kinds.lease import Lease
from job_kinds.results import EvaluationResult


class Evaluation:
    """Implementation of job_kinds.base.Kind."""

    name, scope, queue = JobKind.EVALUATION, "train", "evaluation"
    links = ("artifacts",)
    request, plan_view = EvaluationRequest, EvaluationPlan
    result_view = EvaluationResult
    specs = (EvaluationSpec,)
    plan = staticmethod(planning.plan)

    def run(self, job: Job, lease: Lease) -> Finish:
        from job_kinds.evaluation import run  # torch is slow to load

        return run.evaluate(job, lease)


KIND = Evaluation()
