"""Budget of a tabular training run, and the cost of its steps.

Does not import torch: the API estimates durations with this module.
"""

import math

from models.settings import PROCESS_BYTES, StepCost
from models.tabular.settings import PRESETS, TableData, TableSettings

DP_STEPS = 1_000  # of preset `fast`
MIN_STEPS, MIN_GAN_STEPS = 1_500, 8_000
MAX_STEPS = 20_000  # of preset `fast`: a few minutes


def budget(
    data: TableData, settings: TableSettings, preset: str, *, differential_privacy: bool = False
) -> dict[str, float]:
    """Return the budget of a preset: steps, or seconds of a GPU.

    The steps are a fixed number of epochs, with a minimum for small tables and a maximum for large
    ones. Differential privacy needs a number of steps on a GPU, too.
    """
    chosen = PRESETS[data.device][preset]
    if differential_privacy:
        return {"steps": math.ceil(DP_STEPS * chosen.width_scale)}
    if chosen.gpu_seconds is not None:
        return {"gpu_seconds": chosen.gpu_seconds}
    epochs = chosen.max_epochs
    if settings.architecture == "gan":
        steps = epochs * data.rows / settings.batch_size
        return {"steps": math.ceil(max(steps, MIN_GAN_STEPS))}
    max_steps = MAX_STEPS * epochs / PRESETS["cpu"]["fast"].max_epochs
    steps = max(min(epochs * data.rows / settings.batch_size, max_steps), MIN_STEPS)
    return {"steps": math.ceil(steps / (1 - settings.critic_budget_fraction))}


TOKENS_PER_STEP = 64  # on average
# Measured relative to a matrix product, on tables of 4 to 40 columns and all presets: the cost of
# the computed multiplications, and overheads that prevail in small networks.
COST_FACTOR = {"autoregressive": 1.3, "gan": 0.3}
OVERHEAD_GFLOP = {"autoregressive": 0.31, "gan": 0.7}
OVERHEAD_GFLOP_PER_COLUMN = {"autoregressive": 0.0085, "gan": 0.0}
CONTRAST_COST = 1.7  # of a step with copies of other labels, relative to one without
PER_ROW_GRADIENT_COST = 75  # relative to the gradient of the whole batch


def cost(
    settings: TableSettings, data: TableData, *, differential_privacy: bool = False
) -> StepCost:
    """Estimate the cost of a step: a forward pass, and a backward pass that costs twice as much."""
    steps = data.columns * 1.3  # some columns have a second step
    multiplications = steps * settings.embedding_dim * (2 * settings.hidden_dim + TOKENS_PER_STEP)
    flop = (
        6
        * settings.batch_size
        * multiplications
        * (PER_ROW_GRADIENT_COST if differential_privacy else 1)
    )
    activations = (
        steps
        * settings.batch_size
        * (6 * settings.embedding_dim + 4 * settings.hidden_dim + 4 * TOKENS_PER_STEP)
    )
    token_bytes = data.rows * steps * 8 * 2
    name = settings.architecture
    if data.has_classes and settings.label_contrast and name == "autoregressive":
        flop, activations = CONTRAST_COST * flop, 2 * activations
    overhead = OVERHEAD_GFLOP[name] + OVERHEAD_GFLOP_PER_COLUMN[name] * data.columns
    return StepCost(
        overhead + COST_FACTOR[name] * flop / 1e9,
        int(PROCESS_BYTES + 4 * activations + 24 * multiplications + token_bytes),
    )
