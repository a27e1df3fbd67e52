"""Hyperparameters of the smallest networks that still train every part of a model."""

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
