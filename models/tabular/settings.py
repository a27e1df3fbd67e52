"""Settings of a tabular training run, and their defaults, derived from the data.

Does not import torch: the API resolves configurations with this module.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from models.settings import DeviceKind, InvalidSettings, check_bounds, setting

CONTENT = "tabular"  # of model files and training states, in their headers
ARCHITECTURES = ("autoregressive", "gan")


@dataclass(frozen=True)
class TableData:
    """Properties of the dataset that the defaults depend on."""

    rows: int
    columns: int  # learned ones
    categorical_columns: int = 0  # learned ones of type category or boolean
    has_classes: bool = False  # the target column is one of these
    device: DeviceKind = "cpu"  # that the run needs


@dataclass(frozen=True)
class Preset:
    """Maximum number of epochs, and the width of the networks relative to `fast` on a CPU.

    With `gpu_seconds`, this time is the budget instead of epochs.
    """

    max_epochs: float
    width_scale: float
    gpu_seconds: float | None = None


PRESETS: Mapping[DeviceKind, Mapping[str, Preset]] = {
    "cpu": {
        "fast": Preset(16, 1.0),
        "balanced": Preset(32, 1.5),
        "quality": Preset(64, 2.5),
    },
    # Never tried on a GPU. Held-out rows end a run earlier if it does not improve any more.
    "gpu": {
        "fast": Preset(16, 1.5, gpu_seconds=60.0),
        "balanced": Preset(32, 2.5, gpu_seconds=600.0),
        "quality": Preset(64, 4.0, gpu_seconds=3_600.0),
    },
}

WIDEST_WITH_FULL_RATE = 2.5  # scale of the widest networks that learn with the full rate
# Tables with fewer rows are learned with the contrast of labels, and as smoother functions.
SMALL_TABLE_ROWS = 10_000
LABEL_CONTRAST, FREQUENCY_DECAY = 3.0, 1.0
# A GPU computes larger batches in the same time, but an epoch keeps at least this many steps.
GPU_BATCH_SIZE, GPU_STEPS_PER_EPOCH = 1_024, 40


@dataclass(frozen=True)
class TableSettings:
    """All settings of a run, fully resolved."""

    architecture: str = setting(
        "Generator type. `autoregressive` samples a row column by column and is trained by "
        "likelihood; a critic (discriminator) rejects unrealistic rows. `gan` generates a whole "
        "row from noise and is trained by its critic alone."
    )
    embedding_dim: int = setting("Dimension of the token embeddings.", ge=4, le=1024)
    hidden_dim: int = setting("Hidden units of each column's network.", ge=4, le=4096)
    dropout: float = setting("Dropout probability in the generator.", ge=0, lt=1)
    frequency_decay: float = setting(
        "Decay of the features of numbers with their frequency. Higher values make the generator "
        "learn smoother dependencies on numbers, for which fewer rows are enough. It has no effect "
        "on `gan`.",
        ge=0,
        le=4,
    )
    batch_size: int = setting("Rows per training step.", ge=1, le=65_536)
    generator_lr: float = setting("Learning rate of the generator.", gt=0, le=1)
    beta1: float = setting("First beta of AdamW.", ge=0, lt=1)
    beta2: float = setting("Second beta of AdamW.", ge=0, lt=1)
    weight_decay: float = setting("Weight decay of AdamW for the generator.", ge=0, le=10)
    warmup_steps: int = setting(
        "Steps until the learning rate reaches its full value.", ge=1, le=1_000_000
    )
    ema_decay: float = setting("Decay of the averaged weights per step.", ge=0, lt=1)
    random_order_prob: float = setting(
        "Fraction of the batches with columns in random order. Above 0, conditions on any column "
        "are satisfied without rejection sampling, at some cost in fidelity.",
        ge=0,
        le=1,
    )
    label_contrast: float = setting(
        "Weight of the loss of telling the label of a row from another one, given the other "
        "columns. It makes samples show more clearly what is typical of their label, and training "
        "slower. It has no effect without a categorical target column, on batches in random order, "
        "and on `gan`.",
        ge=0,
        le=100,
    )
    eval_interval: int = setting("Steps between evaluations on held-out rows.", ge=1, le=1_000_000)
    min_delta: float = setting(
        "Relative improvement of the holdout loss that counts as progress. Without progress, the "
        "learning rate starts to decay.",
        ge=0,
        lt=1,
    )
    patience: int = setting(
        "Evaluations without progress until the learning rate starts to decay.", ge=1, le=1_000_000
    )
    lr_decay_fraction: float = setting(
        "Fraction of the generator's training in which the learning rate decays.", gt=0, lt=1
    )
    critic_budget_fraction: float = setting(
        "Fraction of the budget for training the critic.", ge=0, le=0.9
    )
    critic_width: int = setting("Dimension of the critic's token embeddings.", ge=2, le=512)
    critic_hidden: int = setting("Hidden units of the critic.", ge=4, le=4096)
    critic_lr: float = setting("Learning rate of the critic.", gt=0, le=1)
    latent_dim: int = setting("`gan` only: dimension of the latent noise.", ge=1, le=1024)
    r1_gamma: float = setting(
        "`gan` only: gamma of the gradient penalties R1 and R2.", ge=0, le=1000
    )
    r1_interval: int = setting("`gan` only: steps between gradient penalties.", ge=1, le=1000)
    constraints: list[dict[str, Any]] = setting(  # noqa: RUF009 - returns a dataclass field
        "Constraints that every generated row satisfies: [{kind: inequality, columns: [a, b]}, "
        "{kind: fixed_combinations, columns: [city, country]}, "
        "{kind: sum, columns: [a, b], total: c}, {kind: unique, columns: [a]}]."
    )
    relations: bool | list[str] = setting(  # noqa: RUF009 - returns a dataclass field
        "Whether relations that hold in all training rows (orders, sums, products, lookups) also "
        "hold in all samples, by construction, and whether numbers that are simpler relative to "
        "another column are learned so. A list names the relations to ignore, written as in the "
        "dataset's profile. `false` also samples pairs of values that never occur together."
    )
    min_value_count: int = setting(
        "Values that occur in fewer rows are not learned: rare categories become frequent ones, "
        "rare numbers become the mean of this many neighbors, and previews do not show real rows.",
        ge=0,
        le=1_000_000,
    )
    store_row_hashes: bool = setting(
        "Store an 8-byte hash of each dataset row with the model, which `exclude_training_rows` "
        "requires. Anyone with the model file can then test whether a given row is in the dataset."
    )
    rejection_min_auc: float = setting(
        "Critic AUC on held-out rows above which samples are filtered by rejection sampling. "
        "1 disables it.",
        ge=0.5,
        le=1,
    )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the settings of a model; one of the first format lacks those that are 0 here."""
        return cls(**{"label_contrast": 0.0, "frequency_decay": 0.0, **values})


DP_BATCH_SIZE = 256
# With differential privacy, every feature that reads rows outside the mechanisms that epsilon
# covers is disabled.
DP_OVERRIDES: Mapping[str, Any] = {
    "architecture": "autoregressive",
    "dropout": 0.0,
    "random_order_prob": 0.0,
    "label_contrast": 0.0,
    "critic_budget_fraction": 0.0,
    "rejection_min_auc": 1.0,
    "constraints": [],
    "relations": False,
    "min_value_count": 0,
    "store_row_hashes": False,
}


def resolve(
    data: TableData, preset: str, explicit: Mapping[str, Any], *, differential_privacy: bool = False
) -> TableSettings:
    """Fill in the settings that were not chosen explicitly. Raises InvalidSettings."""
    scale = PRESETS[data.device][preset].width_scale
    is_small = data.rows < SMALL_TABLE_ROWS
    batch_size = 256 if not is_small else 128 if data.rows >= 2_500 else 64
    if data.device == "gpu":
        batch_size = max(batch_size, min(GPU_BATCH_SIZE, data.rows // GPU_STEPS_PER_EPOCH))
    # Small tables with only categories are memorized quickly.
    memorizable = data.categorical_columns == data.columns and is_small
    # In small tables with up to three numbers, gaps between points are chance.
    is_point_cloud = data.categorical_columns == 0 and data.columns <= 3 and is_small
    values: dict[str, Any] = {
        "architecture": "autoregressive",
        "embedding_dim": 8 * round(6 * scale),
        "hidden_dim": 8 * round(12 * scale),
        "dropout": 0.4 if memorizable else 0.2 if is_point_cloud else 0.0,
        "frequency_decay": FREQUENCY_DECAY if is_small else 0.0,
        "batch_size": batch_size,
        # The rate of Adam falls with the width (Yang et al. 2022, 2203.03466).
        "generator_lr": 6e-3 * min(1.0, WIDEST_WITH_FULL_RATE / scale),
        "beta1": 0.9,
        "beta2": 0.98,
        "weight_decay": 1.0 if memorizable else 0.4,
        "warmup_steps": 100,
        "ema_decay": 0.995,
        "random_order_prob": 0.0,
        "label_contrast": LABEL_CONTRAST if is_small and data.has_classes else 0.0,
        "eval_interval": min(max(data.rows // batch_size, 75), 500),
        "min_delta": 1e-3,
        "patience": 4 if is_small else 2,  # the loss is noisier for few rows
        "lr_decay_fraction": 0.25,
        "critic_budget_fraction": 0.15,
        "critic_width": 16,
        "critic_hidden": 128,
        "critic_lr": 2e-3,
        "latent_dim": 16,
        "r1_gamma": 0.05,
        "r1_interval": 2,
        "constraints": [],
        "relations": True,
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
            "label_contrast": 0.0,
            "frequency_decay": 0.0,
        }
    if differential_privacy:
        values |= {**DP_OVERRIDES, **_dp_defaults(data, scale)}
    for name in explicit:
        if differential_privacy and name in DP_OVERRIDES and explicit[name] != DP_OVERRIDES[name]:
            message = (
                f"`{name}` must be {DP_OVERRIDES[name]!r} with `differential_privacy`: "
                "epsilon does not cover other values."
            )
            raise InvalidSettings(name, message)
        if name not in values:
            raise InvalidSettings(name, f"Unknown setting {name!r}.")
    settings = TableSettings(**{**values, **explicit})
    if settings.architecture not in ARCHITECTURES:
        raise InvalidSettings(
            "architecture", f"`architecture` must be one of {', '.join(ARCHITECTURES)}."
        )
    check_bounds(settings)
    return settings


def _dp_defaults(data: TableData, scale: float) -> dict[str, Any]:
    """Return defaults for differential privacy.

    Small networks and large batches, because each step adds noise to every weight.
    """
    batch = min(DP_BATCH_SIZE, max(1, data.rows // 8))
    return {
        "embedding_dim": 8 * round(3 * scale),
        "hidden_dim": 8 * round(6 * scale),
        "frequency_decay": 0.0,  # another one was never tried
        "batch_size": batch,
    }
