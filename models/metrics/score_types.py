"""Properties of every score, by name. Free of numpy, because every process imports it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from models.metrics import verdict_rules

Direction = Literal["higher", "lower", "target"]  # better values: higher, lower, or near `TARGET`
TARGET = 0.5


@dataclass(frozen=True)
class ScoreType:
    """Meaning and possible values of a score, and the values that show a fault of the model."""

    description: str  # one sentence for the report
    direction: Direction
    minimum: float = 0.0  # confidence intervals are clipped to the possible values
    maximum: float = 1.0
    requires_labels: bool = False  # missing in the report of data without labels
    is_main: bool = False  # shown wherever a model is
    concerns_privacy: bool = False  # estimates how much the samples reveal about training items
    # For the verdict; a score without rules does not affect it.
    rules: tuple[verdict_rules.Rule, ...] = ()


SCORE_TYPES: dict[str, ScoreType] = {
    "frechet_distance": ScoreType(
        "Fréchet distance between features of the samples and of unseen real images (Heusel et al. "
        "2017).",
        "lower",
        maximum=math.inf,
        is_main=True,
        rules=(verdict_rules.CLOSER_TO_NAIVE, verdict_rules.WORSE_THAN_NAIVE),
    ),
    "kernel_distance": ScoreType(
        "Kernel distance (squared maximum mean discrepancy) between the same features, which is "
        "unbiased for few images (Bińkowski et al. 2018).",
        "lower",
        minimum=-math.inf,  # unbiased, so it may be negative
        maximum=math.inf,
    ),
    "precision": ScoreType(
        "Share of the samples that look like real images: each is inside the neighborhood of a "
        "real image (Kynkäänniemi et al. 2019).",
        "higher",
    ),
    "recall": ScoreType(
        "Share of the real images that the samples reach: each is inside the neighborhood of a "
        "sample (Kynkäänniemi et al. 2019).",
        "higher",
    ),
    "density": ScoreType(
        "Average number of real neighborhoods that contain a sample, relative to the expected "
        "number; about 1 for real images (Naeem et al. 2020).",
        "higher",
        maximum=math.inf,
    ),
    "coverage": ScoreType(
        "Share of the real images that have a sample in their neighborhood, which reaches to the "
        "fifth nearest real image (Naeem et al. 2020).",
        "higher",
        is_main=True,
        rules=(verdict_rules.COLLAPSED_COVERAGE, verdict_rules.LOW_COVERAGE),
    ),
    "detection_auc": ScoreType(
        "Area under the ROC curve of a new classifier (discriminator) that separates samples from "
        "unseen real items: .5 means it cannot, 1 means it always can.",
        "target",
        is_main=True,
        rules=(verdict_rules.DETECTED_ROWS, verdict_rules.DETECTABLE_ROWS),
    ),
    "relation_detection_auc": ScoreType(
        "The same with the differences and ratios of related numbers in sight, which show whether "
        "numbers that nearly determine each other do so in samples.",
        "target",
        rules=(verdict_rules.DETECTED_ROWS, verdict_rules.DETECTABLE_ROWS),
    ),
    "detection_accuracy": ScoreType(
        "Share of samples and unseen real items that the same classifier assigns correctly.",
        "target",
    ),
    "label_accuracy": ScoreType(
        "Share of the samples that a classifier trained on real images assigns to the requested "
        "label.",
        "higher",
        requires_labels=True,
        is_main=True,
        rules=(verdict_rules.LOW_UTILITY,),
    ),
    "tstr_score": ScoreType(
        "Score on unseen real items of a predictor trained only on samples (train on synthetic, "
        "test on real): accuracy for images; for tables area under the ROC curve with two labels, "
        "macro F1 with more, R² for a number.",
        "higher",
        minimum=-math.inf,  # R² may be negative
        requires_labels=True,
        is_main=True,
        rules=(verdict_rules.LOW_UTILITY,),
    ),
    "global_utility": ScoreType(
        "Average score on unseen real rows of predictors of each column from the others, trained "
        "only on samples: R² of numbers, balanced accuracy of categories (TabStruct, Jiang et al. "
        "2025).",
        "higher",
        rules=(verdict_rules.LOW_UTILITY,),
    ),
    "near_duplicate_rate": ScoreType(
        "Share of the samples that are closer to a training image than 99 % of unseen real images "
        "are.",
        "lower",
        concerns_privacy=True,
        is_main=True,
    ),
    "memorization_rate": ScoreType(
        "Share of the samples that are near duplicates of one training image and much closer to it "
        "than to any other.",
        "lower",
        concerns_privacy=True,
        rules=(verdict_rules.REPEATED_ITEMS,),
    ),
    "marginal_tvd": ScoreType(
        "Average total variation distance of the distributions of single columns between samples "
        "and unseen real rows.",
        "lower",
        is_main=True,
        rules=(verdict_rules.CLOSER_TO_NAIVE, verdict_rules.WORSE_THAN_NAIVE),
    ),
    "pairwise_tvd": ScoreType(
        "Average total variation distance of the joint distributions of column pairs between "
        "samples and unseen real rows.",
        "lower",
        is_main=True,
        rules=(verdict_rules.CLOSER_TO_NAIVE, verdict_rules.WORSE_THAN_NAIVE),
    ),
    "label_tvd": ScoreType(
        "Average total variation distance of the distributions of single columns among the rows of "
        "one label between samples and unseen real rows; each label counts the same.",
        "lower",
        requires_labels=True,
        rules=(verdict_rules.CLOSER_TO_NAIVE, verdict_rules.WORSE_THAN_NAIVE),
    ),
    "relation_violation_rate": ScoreType(
        "Largest share of samples that break a relation between columns which holds in all "
        "training rows, such as an order, a sum or a lookup. If it has exceptions in the training "
        "rows, at most a tenth of them, samples that break it count beyond twice their share.",
        "lower",
        rules=(verdict_rules.BROKEN_RELATION,),
    ),
    "unseen_pair_rate": ScoreType(
        "Share of samples with a pair of values that no training row has, such as a city in a "
        "wrong state, in columns of which one nearly determines the other.",
        "lower",
        rules=(verdict_rules.UNSEEN_PAIRS,),
    ),
    "dcr_share": ScoreType(
        "Share of the samples that are closer to a training row than to any of as many unseen real "
        "rows (distance to the closest record).",
        "target",
        concerns_privacy=True,
        rules=(verdict_rules.CLOSE_ROWS, verdict_rules.CLOSER_TO_TRAINING_ROWS),
    ),
    "exact_match_rate": ScoreType(
        "Share of the samples that are identical to a training row.",
        "lower",
        concerns_privacy=True,
        rules=(verdict_rules.REPEATED_ITEMS,),
    ),
    "membership_inference_auc": ScoreType(
        "Area under the ROC curve of an attack that uses the distance to the nearest sample to "
        "separate training items from unseen ones: .5 means it cannot.",
        "target",
        concerns_privacy=True,
        rules=(verdict_rules.RECOGNIZABLE_ITEMS,),
    ),
    "membership_inference_tpr_at_1pct_fpr": ScoreType(
        "Share of the training items that the same attack identifies (true-positive rate) while it "
        "wrongly suspects 1 % of the unseen items.",
        "lower",
        concerns_privacy=True,
        rules=(verdict_rules.RECOGNIZED_ITEMS,),
    ),
    "unique_rate": ScoreType(
        "Number of distinct rows among the samples, divided by the number of samples.",
        "higher",
        rules=(verdict_rules.REPEATED_ROWS,),
    ),
}


def select(names: Iterable[str]) -> Mapping[str, ScoreType]:
    return {name: SCORE_TYPES[name] for name in names}
