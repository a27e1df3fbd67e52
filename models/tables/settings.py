"""What a training run on table rows is made of, and the rules that choose it from the data.

Free of torch: the API resolves configurations with it.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from models.settings import PROCESS_BYTES, Cost, InvalidSettings, check, setting

ARCHITECTURES = ("auto", "mlp")


@dataclass(frozen=True)
class TableData:
    """What the rules look at."""

    rows: int
    columns: int  # that are learned
    names: int = 0  # of them those that are no numbers and no times


@dataclass(frozen=True)
class Preset:
    """How often each row is seen, at most, and how wide the networks are beside `fast`."""

    epochs: float
    scale: float


PRESETS: Mapping[str, Preset] = {
    "fast": Preset(16, 1.0),
    "balanced": Preset(32, 1.5),
    "quality": Preset(64, 2.5),
}


@dataclass(frozen=True)
class TableSettings:
    """Every value of a run, resolved."""

    architecture: str = setting(
        "auto: column by column, by likelihood, judged by a critic; "
        "mlp: a row in one piece from noise, by its critic alone"
    )
    width: int = setting("numbers that a token is embedded in", ge=4, le=1024)
    hidden: int = setting("hidden numbers of each column's network", ge=4, le=4096)
    dropout: float = setting("share of the generator's numbers that are dropped", ge=0, lt=1)
    batch: int = setting("rows in one step", ge=1, le=65_536)
    rate: float = setting("learning rate of the generator", gt=0, le=1)
    beta1: float = setting("AdamW's first beta", ge=0, lt=1)
    beta2: float = setting("AdamW's second beta", ge=0, lt=1)
    decay: float = setting("AdamW's weight decay of the generator", ge=0, le=10)
    warmup: int = setting("steps until the learning rate is whole", ge=1, le=1_000_000)
    average: float = setting("decay of the averaged weights, a step", ge=0, lt=1)
    any_order: float = setting(
        "share of the batches in which columns come in a random order; above 0, conditions on any "
        "column are met directly, at some cost in fidelity",
        ge=0,
        le=1,
    )
    measure_every: int = setting("steps between looks at held-out rows", ge=1, le=1_000_000)
    gain: float = setting(
        "share of the loss that a look must gain on those before, or the learning rate falls",
        ge=0,
        lt=1,
    )
    patience: int = setting("looks without that gain until it falls", ge=1, le=1_000_000)
    cooling: float = setting("share of the learning in which the rate falls", gt=0, lt=1)
    critic_share: float = setting("share of the budget for the critic", ge=0, le=0.9)
    critic_width: int = setting("numbers that the critic embeds a token in", ge=2, le=512)
    critic_hidden: int = setting("hidden numbers of the critic", ge=4, le=4096)
    critic_rate: float = setting("learning rate of the critic", gt=0, le=1)
    noise: int = setting("mlp: numbers that a row is made from", ge=1, le=1024)
    penalty: float = setting("mlp: half of gamma of R1 and R2", ge=0, le=1000)
    penalty_every: int = setting("mlp: steps between gradient penalties", ge=1, le=1000)
    rules: list[dict[str, Any]] = setting(  # noqa: RUF009 - it makes a field
        "what every row keeps to: [{kind: at_most, columns: [a, b]}, {kind: together, columns: "
        "[city, country]}, {kind: sum, columns: [a, b], total: c}, {kind: unique, columns: [a]}]"
    )
    min_count: int = setting(
        "values that fewer rows have are not learned: rare names become common ones, and numbers "
        "the mean of so many neighbours; pictures of the run show no real row",
        ge=0,
        le=1_000_000,
    )
    row_hashes: bool = setting(
        "keep 8 bytes of each row with the model, so that samples can be asked to repeat none; "
        "whoever has the model's file can then tell whether a row that they know is among them"
    )
    critic_from: float = setting(
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
COVERED: Mapping[str, Any] = {
    "architecture": "auto",
    "dropout": 0.0,
    "any_order": 0.0,
    "critic_share": 0.0,
    "critic_from": 1.0,
    "rules": [],
    "min_count": 0,
    "row_hashes": False,
}


def resolve(
    data: TableData, preset: str, explicit: Mapping[str, Any], *, private: bool = False
) -> TableSettings:
    """Fill in what was not chosen. Raises InvalidSettings."""
    scale = PRESETS[preset].scale
    batch = 256 if data.rows >= 10_000 else 128 if data.rows >= 2_500 else 64
    # Rows of names alone are soon known by heart, where they are few.
    by_heart = data.names == data.columns and data.rows < 10_000
    # Points in a plane or in space: gaps between few of them are chance.
    points = data.names == 0 and data.columns <= 3 and data.rows < 10_000
    values: dict[str, Any] = {
        "architecture": "auto",
        "width": 8 * round(6 * scale),
        "hidden": 8 * round(12 * scale),
        "dropout": 0.4 if by_heart else 0.2 if points else 0.0,
        "batch": batch,
        "rate": 6e-3,
        "beta1": 0.9,
        "beta2": 0.98,
        "decay": 1.0 if by_heart else 0.4,
        "warmup": 100,
        "average": 0.995,
        "any_order": 0.0,
        "measure_every": min(max(data.rows // batch, 75), 500),
        "gain": 1e-3,
        "patience": 2 if data.rows >= 10_000 else 4,  # few rows, a loss with much noise
        "cooling": 0.25,
        "critic_share": 0.15,
        "critic_width": 16,
        "critic_hidden": 128,
        "critic_rate": 2e-3,
        "noise": 16,
        "penalty": 0.05,
        "penalty_every": 2,
        "rules": [],
        "min_count": 0,
        "row_hashes": False,
        "critic_from": 0.53,
    }
    if explicit.get("architecture") == "mlp":
        values |= {
            "hidden": 8 * round(16 * scale),
            "rate": 1e-3,
            "critic_rate": 1e-3,
            "beta2": 0.99,
            "average": 0.998,
            "batch": min(128, max(2, data.rows)),
            "measure_every": 500,
        }
    if private:
        values |= {**COVERED, **_private(data, scale)}
    for name in explicit:
        if private and name in COVERED and explicit[name] != COVERED[name]:
            message = f"epsilon does not cover it: with `privacy`, {name} is {COVERED[name]!r}"
            raise InvalidSettings(name, message)
        if name not in values:
            raise InvalidSettings(name, "unknown setting")
    settings = TableSettings(**{**values, **explicit})
    if settings.architecture not in ARCHITECTURES:
        raise InvalidSettings("architecture", f"known are {', '.join(ARCHITECTURES)}")
    check(settings)
    return settings


def _private(data: TableData, scale: float) -> dict[str, Any]:
    """Small networks and large batches: noise falls on each weight, once a step."""
    batch = min(PRIVATE_BATCH, max(1, data.rows // 8))
    return {"width": 8 * round(3 * scale), "hidden": 8 * round(6 * scale), "batch": batch}


PRIVATE_BATCH = 256
PRIVATE_STEPS = 1_000  # of `fast`
FEWEST_STEPS, FEWEST_MLP_STEPS = 1_500, 8_000
MOST_STEPS = 20_000  # of `fast`: some minutes


def budget(
    data: TableData, settings: TableSettings, preset: str, *, private: bool = False
) -> dict[str, float]:
    """The budget of a preset: so many looks at each row; more where rows are few, fewer
    where they are very many."""
    if private:
        return {"steps": math.ceil(PRIVATE_STEPS * PRESETS[preset].scale)}
    if settings.architecture == "mlp":
        steps = PRESETS[preset].epochs * data.rows / settings.batch
        return {"steps": math.ceil(max(steps, FEWEST_MLP_STEPS))}
    epochs = PRESETS[preset].epochs
    most = MOST_STEPS * epochs / PRESETS["fast"].epochs
    steps = max(min(epochs * data.rows / settings.batch, most), FEWEST_STEPS)
    return {"steps": math.ceil(steps / (1 - settings.critic_share))}


ROW_BY_ROW = 25  # times what the gradients of a batch take together
TOKENS = 64  # of a step, on average


def cost(settings: TableSettings, data: TableData, *, private: bool = False) -> Cost:
    """What a step takes: the generator forward, and twice as much back."""
    steps = data.columns * 1.3  # some columns take two
    multiplications = steps * settings.width * (2 * settings.hidden + TOKENS)
    flop = 6 * settings.batch * multiplications * (ROW_BY_ROW if private else 1)
    activations = steps * settings.batch * (6 * settings.width + 4 * settings.hidden + 4 * TOKENS)
    rows = data.rows * steps * 8 * 2
    return Cost(flop / 1e9, int(PROCESS_BYTES + 4 * activations + 24 * multiplications + rows))
