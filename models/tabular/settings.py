"""What a training run on table rows is made of, and the rules that choose it from the data.

Free of torch: the API resolves configurations with it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from models.settings import PROCESS_BYTES, InvalidSettings, StepCost, check_bounds, setting

ARCHITECTURES = ("autoregressive", "gan")


@dataclass(frozen=True)
class TableData:
    """What the rules look at."""

    rows: int
    columns: int  # that are learned
    categorical_columns: int = 0  # of them those that are no numbers and no times


@dataclass(frozen=True)
class Preset:
    """How often each row is seen, at most, and how wide the networks are beside `fast`."""

    max_epochs: float
    width_scale: float


PRESETS: Mapping[str, Preset] = {
    "fast": Preset(16, 1.0),
    "balanced": Preset(32, 1.5),
    "quality": Preset(64, 2.5),
}


@dataclass(frozen=True)
class TableSettings:
    """Every value of a run, resolved."""

    architecture: str = setting(
        "autoregressive: column by column, by likelihood, judged by a critic; "
        "gan: a row in one piece from noise, by its critic alone"
    )
    embedding_dim: int = setting("numbers that a token is embedded in", ge=4, le=1024)
    hidden_dim: int = setting("hidden numbers of each column's network", ge=4, le=4096)
    dropout: float = setting("share of the generator's numbers that are dropped", ge=0, lt=1)
    batch_size: int = setting("rows in one step", ge=1, le=65_536)
    generator_lr: float = setting("learning rate of the generator", gt=0, le=1)
    beta1: float = setting("AdamW's first beta", ge=0, lt=1)
    beta2: float = setting("AdamW's second beta", ge=0, lt=1)
    weight_decay: float = setting("AdamW's weight decay of the generator", ge=0, le=10)
    warmup_steps: int = setting("steps until the learning rate is whole", ge=1, le=1_000_000)
    ema_decay: float = setting("decay of the averaged weights, a step", ge=0, lt=1)
    random_order_prob: float = setting(
        "share of the batches in which columns come in a random order; above 0, conditions on any "
        "column are met directly, at some cost in fidelity",
        ge=0,
        le=1,
    )
    eval_interval: int = setting("steps between looks at held-out rows", ge=1, le=1_000_000)
    min_delta: float = setting(
        "share of the loss that a look must gain on those before, or the learning rate falls",
        ge=0,
        lt=1,
    )
    patience: int = setting("looks without that gain until it falls", ge=1, le=1_000_000)
    lr_decay_fraction: float = setting("share of the learning in which the rate falls", gt=0, lt=1)
    critic_budget_fraction: float = setting("share of the budget for the critic", ge=0, le=0.9)
    critic_width: int = setting("numbers that the critic embeds a token in", ge=2, le=512)
    critic_hidden: int = setting("hidden numbers of the critic", ge=4, le=4096)
    critic_lr: float = setting("learning rate of the critic", gt=0, le=1)
    latent_dim: int = setting("gan: numbers that a row is made from", ge=1, le=1024)
    r1_gamma: float = setting("gan: half of gamma of R1 and R2", ge=0, le=1000)
    r1_interval: int = setting("gan: steps between gradient penalties", ge=1, le=1000)
    constraints: list[dict[str, Any]] = setting(  # noqa: RUF009 - it makes a field
        "what every row keeps to: [{kind: inequality, columns: [a, b]}, {kind: fixed_combinations, columns: "
        "[city, country]}, {kind: sum, columns: [a, b], total: c}, {kind: unique, columns: [a]}]"
    )
    min_value_count: int = setting(
        "values that fewer rows have are not learned: rare names become common ones, and numbers "
        "the mean of so many neighbours; pictures of the run show no real row",
        ge=0,
        le=1_000_000,
    )
    store_row_hashes: bool = setting(
        "keep 8 bytes of each row with the model, so that samples can be asked to repeat none; "
        "whoever has the model's file can then tell whether a row that they know is among them"
    )
    rejection_min_auc: float = setting(
        "share of pairs that the critic must tell apart for samples to be chosen by it; "
        "1: never chosen",
        ge=0.5,
        le=1,
    )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


# With differential privacy, what reads rows beside the two ways that epsilon covers is left out.
DP_OVERRIDES: Mapping[str, Any] = {
    "architecture": "autoregressive",
    "dropout": 0.0,
    "random_order_prob": 0.0,
    "critic_budget_fraction": 0.0,
    "rejection_min_auc": 1.0,
    "constraints": [],
    "min_value_count": 0,
    "store_row_hashes": False,
}


def resolve(
    data: TableData, preset: str, explicit: Mapping[str, Any], *, differential_privacy: bool = False
) -> TableSettings:
    """Fill in what was not chosen. Raises InvalidSettings."""
    scale = PRESETS[preset].width_scale
    batch = 256 if data.rows >= 10_000 else 128 if data.rows >= 2_500 else 64
    # Rows of names alone are soon known by heart, where they are few.
    by_heart = data.categorical_columns == data.columns and data.rows < 10_000
    # Points in a plane or in space: gaps between few of them are chance.
    points = data.categorical_columns == 0 and data.columns <= 3 and data.rows < 10_000
    values: dict[str, Any] = {
        "architecture": "autoregressive",
        "embedding_dim": 8 * round(6 * scale),
        "hidden_dim": 8 * round(12 * scale),
        "dropout": 0.4 if by_heart else 0.2 if points else 0.0,
        "batch_size": batch,
        "generator_lr": 6e-3,
        "beta1": 0.9,
        "beta2": 0.98,
        "weight_decay": 1.0 if by_heart else 0.4,
        "warmup_steps": 100,
        "ema_decay": 0.995,
        "random_order_prob": 0.0,
        "eval_interval": min(max(data.rows // batch, 75), 500),
        "min_delta": 1e-3,
        "patience": 2 if data.rows >= 10_000 else 4,  # few rows, a loss with much noise
        "lr_decay_fraction": 0.25,
        "critic_budget_fraction": 0.15,
        "critic_width": 16,
        "critic_hidden": 128,
        "critic_lr": 2e-3,
        "latent_dim": 16,
        "r1_gamma": 0.05,
        "r1_interval": 2,
        "constraints": [],
        "min_value_count": 0,
        "store_row_hashes": False,
        "rejection_min_auc": 0.53,
    }
    if explicit.get("architecture") == "gan":
        values |= {
            "hidden_dim": 8 * round(16 * scale),
            "generator_lr": 1e-3,
            "critic_lr": 1e-3,
            "beta2": 0.99,
            "ema_decay": 0.998,
            "batch_size": min(128, max(2, data.rows)),
            "eval_interval": 500,
        }
    if differential_privacy:
        values |= {**DP_OVERRIDES, **_private(data, scale)}
    for name in explicit:
        if differential_privacy and name in DP_OVERRIDES and explicit[name] != DP_OVERRIDES[name]:
            message = f"epsilon does not cover it: with `differential_privacy`, {name} is {DP_OVERRIDES[name]!r}"
            raise InvalidSettings(name, message)
        if name not in values:
            raise InvalidSettings(name, "unknown setting")
    settings = TableSettings(**{**values, **explicit})
    if settings.architecture not in ARCHITECTURES:
        raise InvalidSettings("architecture", f"known are {', '.join(ARCHITECTURES)}")
    check_bounds(settings)
    return settings


def _private(data: TableData, scale: float) -> dict[str, Any]:
    """Small networks and large batches: noise falls on each weight, once a step."""
    batch = min(DP_BATCH_SIZE, max(1, data.rows // 8))
    return {
        "embedding_dim": 8 * round(3 * scale),
        "hidden_dim": 8 * round(6 * scale),
        "batch_size": batch,
    }


DP_BATCH_SIZE = 256
DP_STEPS = 1_000  # of `fast`
MIN_STEPS, MIN_GAN_STEPS = 1_500, 8_000
MAX_STEPS = 20_000  # of `fast`: some minutes


def budget(
    data: TableData, settings: TableSettings, preset: str, *, differential_privacy: bool = False
) -> dict[str, float]:
    """The budget of a preset: so many looks at each row; more where rows are few, fewer
    where they are very many."""
    if differential_privacy:
        return {"steps": math.ceil(DP_STEPS * PRESETS[preset].width_scale)}
    if settings.architecture == "gan":
        steps = PRESETS[preset].max_epochs * data.rows / settings.batch_size
        return {"steps": math.ceil(max(steps, MIN_GAN_STEPS))}
    epochs = PRESETS[preset].max_epochs
    most = MAX_STEPS * epochs / PRESETS["fast"].max_epochs
    steps = max(min(epochs * data.rows / settings.batch_size, most), MIN_STEPS)
    return {"steps": math.ceil(steps / (1 - settings.critic_budget_fraction))}


PER_ROW_GRADIENT_COST = 25  # times what the gradients of a batch take together
TOKENS_PER_STEP = 64  # of a step, on average


def cost(
    settings: TableSettings, data: TableData, *, differential_privacy: bool = False
) -> StepCost:
    """What a step takes: the generator forward, and twice as much back."""
    steps = data.columns * 1.3  # some columns take two
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
    rows = data.rows * steps * 8 * 2
    return StepCost(flop / 1e9, int(PROCESS_BYTES + 4 * activations + 24 * multiplications + rows))
