"""Hyperparameters of the smallest networks that still train every part of a model.

Also the shortest trainings of the classifiers that an evaluation measures with.
"""

from typing import Any

TINY_IMAGE_CONFIG = {
    "latent_dim": 4,
    "coarse_channels": 8,
    "fine_channels": 8,
    "critic_width": 8,
    "feature_width": 8,
    "batch_size": 8,
    "log_interval": 5,
}
TINY_TABLE_CONFIG = {
    "embedding_dim": 16,
    "hidden_dim": 16,
    "critic_hidden": 16,
    "eval_interval": 20,
}

SHORT_EVALUATION: dict[str, Any] = {
    "models.metrics.evaluation_classifier.STEPS": (200, 200),
    "models.metrics.images.trained_classifiers.TSTR_STEPS": (60, 60),
    "models.metrics.images.trained_classifiers.DETECTION_STEPS": (40, 40),
}
