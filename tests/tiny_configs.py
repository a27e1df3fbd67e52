"""The smallest networks that still play the whole game, as `hyperparameters` of a training job, and
the shortest trainings of what an evaluation measures with."""

from typing import Any

TINY = {
    "latent_dim": 4,
    "coarse_channels": 8,
    "fine_channels": 8,
    "critic_width": 8,
    "feature_width": 8,
    "batch_size": 8,
    "log_interval": 5,
}
TINY_ROWS = {"embedding_dim": 16, "hidden_dim": 16, "critic_hidden": 16, "eval_interval": 20}

SHORT_EVALUATION: dict[str, Any] = {
    "models.metrics.evaluation_classifier.STEPS": (200, 200),
    "models.metrics.image_evaluation.TSTR_STEPS": (60, 60),
    "models.metrics.image_evaluation.DETECTION_STEPS": (40, 40),
}
