"""Evaluation of a tabular model."""

import pyarrow as pa

from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.tabular.train import open_table
from models.metrics.tabular import evaluation as metrics


def evaluate(evaluation: EvaluationInput) -> EvaluationOutput:
    """Compare samples with the rows that training held out."""
    synthetic = pa.Table.from_batches(batch.rows for batch in evaluation.generate())
    with open_table(evaluation.dataset, evaluation.training_spec, evaluation.storage) as data:
        result = metrics.evaluate(
            data, synthetic, seed=evaluation.seed, check_stop=evaluation.check_stop
        )
        return EvaluationOutput(result.scores, len(data.holdout), result.report_sections)
