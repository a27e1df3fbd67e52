"""Training of the autoregressive model with differential privacy.

Two tables are neighbors if one row of the first contributes nothing in the second; the number of
rows is public. Training reads rows in two ways only: once to count tokens, with Gaussian noise, and
in each step as clipped gradients of randomly sampled rows, with Gaussian noise (DP-SGD, Abadi et
al. 2016, 1607.00133). Everything else is declared by the client or computed from these results.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from torch import Tensor, nn

from models.tabular.categorical_columns import CategoricalColumn, Column, TokenLayout
from models.tabular.data import LabeledRows
from models.tabular.dp_accountant import NoiseScales, PrivacyBudget
from models.tabular.dp_domains import ColumnDomain
from models.tabular.numeric_columns import BINS, MAX_EXACT_VALUES, NumericColumn, Quantiles, Scale
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer
from models.tabular.training import AutoregressiveTrainer, set_lr
from models.training_callbacks import TrainingCallbacks

MAX_GRADIENT_NORM = 1.0  # L2, of the gradient of one row
MICROBATCH_ROWS = 64  # per-row gradients that are in memory at a time
QUANTILE_KNOTS = 1_025  # of the uniform distribution between `min` and `max`
ARROW_TYPES = {
    "category": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
}


def train(
    rows: LabeledRows,
    domains: Mapping[str, ColumnDomain],
    settings: TableSettings,
    budget: PrivacyBudget,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
) -> None:
    """Train for `budget.steps` steps, or resume from `state`.

    `seed` is public: it sets the initial weights. The noise comes from a secret that only the state
    holds. Raises AccountantMissing and PrivacyBudgetUnreachable.
    """
    noise = NoiseScales.for_budget(budget, min(1.0, settings.batch_size / len(rows.train)))
    train_with_noise(
        rows, domains, settings, noise, budget.steps, callbacks, seed=seed, state=state
    )
    callbacks.report(budget.steps, {"epsilon": budget.epsilon})


def train_with_noise(
    rows: LabeledRows,
    domains: Mapping[str, ColumnDomain],
    settings: TableSettings,
    noise: NoiseScales,
    steps: int,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
) -> None:
    tokenizer = tokenizer_for_domains(domains, rows.target_column)
    trainer = AutoregressiveTrainer(tokenizer, settings, seed)
    tokens = torch.from_numpy(tokenize_rows(rows, domains, tokenizer))
    if state is None:
        trainer.secret = secrets.randbits(128)
        trainer.G.heads.init_from_counts(
            noisy_counts(tokens, tokenizer.step_sizes, noise.counts, trainer.secret)
        )
        trainer.ema.load_state_dict(trainer.G.state_dict())
    else:
        trainer.load_state(state)
    while trainer.step < steps and callbacks.progress(trainer.step) < 1:
        if callbacks.should_checkpoint(trainer.step):
            save_checkpoint(trainer, callbacks)
        train_step(trainer, tokens, noise.gradients, steps)
    save_checkpoint(trainer, callbacks)


def save_checkpoint(trainer: AutoregressiveTrainer, callbacks: TrainingCallbacks) -> None:
    trainer.best.load_state_dict(trainer.ema.state_dict())
    callbacks.save(trainer.step, trainer.pack())


def tokenizer_for_domains(
    domains: Mapping[str, ColumnDomain], target_column: str | None
) -> Tokenizer:
    """Build a tokenizer from declared domains, without reading rows."""
    arrow = pa.schema([(name, ARROW_TYPES[domain.type]) for name, domain in domains.items()])
    columns = [_column(name, domain) for name, domain in domains.items()]
    columns.sort(key=lambda column: column.name != target_column)
    return Tokenizer(arrow, tuple(columns), (), target_column)


def _column(name: str, domain: ColumnDomain) -> Column:
    arrow = ARROW_TYPES[domain.type]
    if domain.min is None:
        categories = pa.array(domain.values).cast(pa.string())
        return CategoricalColumn(
            name, arrow, categories, TokenLayout(len(categories), missing=domain.missing)
        )
    assert domain.max is not None  # noqa: S101 - `parse` requires both bounds or none
    is_integer = domain.type == "integer"
    scale = Scale(arrow, unit=1) if is_integer else Scale(arrow, decimals=domain.decimals)
    dtype = np.int64 if is_integer else np.float64
    if is_integer and domain.max - domain.min < MAX_EXACT_VALUES:
        exact_values, bins = np.arange(domain.min, domain.max + 1).astype(dtype), 0
    else:
        exact_values, bins = np.array(domain.values, dtype), BINS
    knots = np.linspace(domain.min, domain.max, QUANTILE_KNOTS if bins else 0)
    quantiles = Quantiles((np.rint(knots) if is_integer else knots).astype(dtype), np.empty(0))
    bin_midpoints = (np.arange(bins) + 0.5) / max(bins, 1)
    value_ranks = (exact_values - domain.min) / (domain.max - domain.min)
    layout = TokenLayout(len(exact_values), bins, missing=domain.missing)
    return NumericColumn(
        name, scale, exact_values, quantiles, layout, np.concatenate([value_ranks, bin_midpoints])
    )


def tokenize_rows(
    rows: LabeledRows, domains: Mapping[str, ColumnDomain], tokenizer: Tokenizer
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return the (S, N) tokens of the training rows; each row is encoded independently."""
    table = rows.take(rows.train)
    arrays = [clamp_to_domain(table.column(name), domain) for name, domain in domains.items()]
    clamped = pa.table(arrays, schema=tokenizer.arrow)
    return np.concatenate(
        [column.encode(clamped.column(column.name).chunk(0), None) for column in tokenizer.columns]
    )


def clamp_to_domain(values: pa.ChunkedArray, domain: ColumnDomain) -> pa.Array:
    """Return the values, each replaced by one of its domain if it is outside.

    A number is clipped to the bounds and rounded. A string or boolean outside the domain becomes
    missing. A missing value becomes `min`, or the first value, unless the domain has `missing`.
    """
    values = values.combine_chunks()
    if domain.min is None:
        allowed = pa.array(domain.values)
        index = pa.compute.index_in(values.cast(pa.string()), allowed.cast(pa.string()))
        return allowed.take(index if domain.missing else index.fill_null(0)).cast(
            ARROW_TYPES[domain.type]
        )
    floats = values.cast(pa.float64(), safe=False)
    numbers = floats.fill_null(np.nan).to_numpy(zero_copy_only=False)
    is_missing = np.isnan(numbers)
    clipped = np.round(
        np.clip(np.where(is_missing, domain.min, numbers), domain.min, domain.max), domain.decimals
    )
    return pa.array(clipped, mask=is_missing if domain.missing else None).cast(
        ARROW_TYPES[domain.type]
    )


def noisy_counts(tokens: Tensor, sizes: list[int], noise: float, secret: int) -> list[Tensor]:
    """Return the counts of each step's tokens, of (S, N), with Gaussian noise.

    One row adds 1 to a count in each of S steps, so the L2 sensitivity is sqrt(S).
    """
    rng = np.random.Generator(np.random.Philox(secret))
    scale = noise * len(sizes) ** 0.5
    return [
        (torch.bincount(row, minlength=size) + torch.from_numpy(rng.normal(0, scale, size))).clamp(
            0
        )
        for row, size in zip(tokens, sizes, strict=True)
    ]


def train_step(trainer: AutoregressiveTrainer, tokens: Tensor, noise: float, steps: int) -> None:
    """Take one DP-SGD step on a Poisson sample of the (S, N) rows.

    Each row is sampled independently, with probability batch_size / N.
    """
    settings = trainer.settings
    rng = np.random.Generator(
        np.random.Philox(np.random.SeedSequence((trainer.secret, trainer.step)))
    )
    sampled = torch.from_numpy(rng.random(tokens.shape[1]) < settings.batch_size / tokens.shape[1])
    gradient_sum = clipped_gradient_sum(trainer.G, tokens[:, sampled])
    for name, weight in trainer.G.named_parameters():
        gaussian = torch.from_numpy(rng.standard_normal(weight.shape, np.float32))
        weight.grad = (
            gradient_sum[name] + MAX_GRADIENT_NORM * noise * gaussian
        ) / settings.batch_size
    decay = (steps - trainer.step) / (steps * settings.lr_decay_fraction)
    warmup = min(1.0, (trainer.step + 1) / settings.warmup_steps)
    set_lr(trainer.opt_G, settings.generator_lr * min(warmup, decay))
    trainer.opt_G.step()
    trainer.step += 1
    trainer.update_ema()


class _Loss(nn.Module):
    """The loss of one row, as a module, which `torch.func.functional_call` requires."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, row: Tensor) -> Tensor:
        return self.network.loss(row[:, None])  # type: ignore[operator]


def clipped_gradient_sum(network: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """Return the sum of per-row gradients of (S, B) rows, by parameter name.

    The gradient of each row over all parameters is clipped to an L2 norm of MAX_GRADIENT_NORM. A
    row with a non-finite gradient contributes nothing.
    """
    loss = _Loss(network.eval())
    weights = {name: weight.detach() for name, weight in loss.named_parameters()}
    per_row_gradients = torch.func.vmap(
        torch.func.grad(lambda weights, row: torch.func.functional_call(loss, weights, (row,))),
        in_dims=(None, 1),
    )
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for microbatch in tokens.split(MICROBATCH_ROWS, dim=1) if tokens.shape[1] else ():
        gradients = per_row_gradients(weights, microbatch)
        squared_norms = sum(
            (g.flatten(1).square().sum(1) for g in gradients.values()), torch.zeros(())
        )
        clip_factor = (MAX_GRADIENT_NORM / squared_norms.sqrt()).clamp(max=1.0)
        finite = squared_norms.isfinite()
        for name, gradient in gradients.items():
            total[name] += torch.einsum("b,b...->...", clip_factor[finite], gradient[finite])
    return {name.removeprefix("network."): gradient for name, gradient in total.items()}
