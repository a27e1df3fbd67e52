"""Evaluation of synthetic table rows against held-out real rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from models.metrics.baselines import sample_independent
from models.metrics.scores import Score
from models.metrics.statistics import pca_2d
from models.metrics.tabular.boosted_trees import (
    score_detection,
    score_relation_detection,
    score_tstr,
)
from models.metrics.tabular.column_statistics import compare_associations, describe_columns
from models.metrics.tabular.distance_space import MixedDistanceSpace
from models.metrics.tabular.fidelity import score_tvd
from models.metrics.tabular.frames import (
    FINE_BINS,
    Binning,
    CategoryMaps,
    NumericFrame,
    sample_rows,
)
from models.metrics.tabular.global_utility import score_global_utility
from models.metrics.tabular.label_fidelity import score_label_fidelity
from models.metrics.tabular.privacy import nearest_distance_histogram, score_privacy
from models.metrics.tabular.relation_checks import score_relations
from models.metrics.tabular.unseen_pairs import score_unseen_pairs
from models.tabular.data import LabeledRows
from models.training_callbacks import CheckStop

COARSE_BINS = 10
MAX_SCATTER_ITEMS = 1_000  # rows for the principal components


@dataclass(frozen=True)
class EvaluationResult:
    scores: list[Score]
    report_sections: dict[str, Any]  # further content of the report, by name


def evaluate(
    data: LabeledRows, synthetic: pa.Table, *, seed: int, check_stop: CheckStop
) -> EvaluationResult:
    """Evaluate synthetic rows against the holdout of `data`, which must have at least 20 rows.

    Most metrics are also computed for as many training rows in place of the samples (the real
    reference) and for rows of independent columns (the naive baseline).
    """
    rng = np.random.default_rng(seed)
    schema = [column for column in data.schema if column.in_samples and column.type != "id"]
    column_names = [column.name for column in schema]
    train, holdout = data.take(data.train), data.take(data.holdout)
    category_maps = CategoryMaps.fit((train, holdout, synthetic), schema)
    real, train_frame, fake = (
        category_maps.to_frame(table, column_names) for table in (holdout, train, synthetic)
    )
    index = rng.choice(len(train_frame), min(len(fake), len(train_frame)), replace=False)
    reference = train_frame.take(index)
    baseline = NumericFrame(sample_independent(train_frame.columns, len(fake), seed))
    compared = (fake, reference, baseline)
    check_stop()
    coarse = Binning.fit(train_frame, category_maps, COARSE_BINS)
    scores = score_tvd(real, compared, coarse, seed, check_stop)
    fine = Binning.fit(train_frame, category_maps, FINE_BINS)
    relation_scores, relations = score_relations(data, train, holdout, synthetic, seed)
    scores += relation_scores
    pair_scores, unseen_pairs = score_unseen_pairs(
        train_frame, real, compared, category_maps, check_stop
    )
    scores += pair_scores
    scores += score_detection(real, compared, fine, seed, check_stop)
    scores += score_relation_detection(train_frame, real, compared, category_maps, seed, check_stop)
    target = data.target_column
    scores += score_tstr(real, compared, fine, category_maps, target, seed, check_stop)
    scores += score_global_utility(train_frame, real, compared, category_maps, seed, check_stop)
    scores += score_label_fidelity(
        train_frame, real, compared, coarse, category_maps, target, seed, check_stop
    )
    space = MixedDistanceSpace.fit(train_frame, coarse)
    scores += score_privacy(real, train_frame, fake, baseline, space, rng, seed, check_stop)
    report_sections = {
        "relations": relations,
        "unseen_pairs": unseen_pairs,
        "statistics": describe_columns(
            real, fake, category_maps, {c.name: c.type for c in schema}, data.target_column
        ),
        "column_associations": compare_associations(real, fake, coarse),
        "scatter": pca_2d(
            *(
                space(sample_rows(frame, MAX_SCATTER_ITEMS, rng)).to_array()
                for frame in (real, fake)
            )
        ),
        "nearest_train_distance": nearest_distance_histogram(
            real, train_frame, fake, space, rng, check_stop
        ),
    }
    return EvaluationResult(scores, report_sections)
