"""Evaluation of a tabular model."""

import pyarrow as pa
import torch

from modalities import stored_samplers
from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.tabular.train import open_table
from models.checkpoint import unpack
from models.metrics.tabular import evaluation as metrics
from models.tabular import batched_sampling
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import plan_total


def evaluate(evaluation: EvaluationInput) -> EvaluationOutput:
    """Compare samples with the rows that training held out."""
    synthetic = _generate(evaluation)
    with open_table(evaluation.dataset, evaluation.training_spec, evaluation.storage) as data:
        result = metrics.evaluate(
            data, synthetic, seed=evaluation.seed, check_stop=evaluation.check_stop
        )
        return EvaluationOutput(result.scores, len(data.holdout), result.report_sections)


def _generate(evaluation: EvaluationInput) -> pa.Table:
    device = torch.device(evaluation.device)
    sampler = stored_samplers.load(
        evaluation.model, evaluation.storage, lambda path: TableSampler.load(*unpack(path), device)
    )
    plan = plan_total(evaluation.samples, [{}], seed=evaluation.seed, offset=0)
    batches = []
    for batch in batched_sampling.iter_batches(sampler, plan):
        evaluation.check_stop()
        batches.append(batch.rows)
    return pa.Table.from_batches(batches)
