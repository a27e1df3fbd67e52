"""The smallest networks that still play the whole game, as `config` of a training job."""

TINY = {
    "noise": 4,
    "coarse_width": 8,
    "fine_width": 8,
    "critic_width": 8,
    "feature_width": 8,
    "batch": 8,
    "log_every": 5,
}
TINY_ROWS = {"width": 16, "hidden": 16, "critic_hidden": 16, "measure_every": 20}
