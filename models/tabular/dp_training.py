"""Learning from rows with differential privacy: a model that hardly depends on any single row.

Neighbours are tables of which one row counts for nothing in the other; how many rows there are is
public. Rows are read in two ways and in no other: once to count tokens, with Gaussian noise, and
at each step as gradients of randomly chosen rows, shortened and with Gaussian noise (DP-SGD, Abadi
et al. 2016, 1607.00133). All else is declared, or made of these.
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

MAX_GRADIENT_NORM = 1.0  # gradient of one row
MICROBATCH_ROWS = 64  # rows whose gradients are kept apart
QUANTILE_KNOTS = 1_025  # of numbers spread evenly between their ends
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
    """Train for the promised steps; goes on from `state` if there is one.

    `seed` is public: it chooses the networks to begin with. The noise comes from a secret that
    only the state holds. Raises NoAccountant and OutOfReach.
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
    """Of what is declared, and of nothing that was seen."""
    arrow = pa.schema([(name, ARROW_TYPES[domain.type]) for name, domain in domains.items()])
    columns = [_column(name, domain) for name, domain in domains.items()]
    columns.sort(key=lambda column: column.name != target_column)
    return Tokenizer(arrow, tuple(columns), (), target_column)


def _column(name: str, domain: ColumnDomain) -> Column:
    arrow = ARROW_TYPES[domain.type]
    if domain.min is None:
        texts = pa.array(domain.values).cast(pa.string())
        return CategoricalColumn(
            name, arrow, texts, TokenLayout(len(texts), missing=domain.missing)
        )
    assert domain.max is not None  # noqa: S101 - both ends are given, or none
    whole = domain.type == "integer"
    scale = Scale(arrow, unit=1) if whole else Scale(arrow, decimals=domain.decimals)
    kind = np.int64 if whole else np.float64
    if whole and domain.max - domain.min < MAX_EXACT_VALUES:
        exact_values, groups = np.arange(domain.min, domain.max + 1).astype(kind), 0
    else:
        exact_values, groups = np.array(domain.values, kind), BINS
    knots = np.linspace(domain.min, domain.max, QUANTILE_KNOTS if groups else 0)
    quantiles = Quantiles((np.rint(knots) if whole else knots).astype(kind), np.empty(0))
    centres = (np.arange(groups) + 0.5) / max(groups, 1)
    ranks = (exact_values - domain.min) / (domain.max - domain.min)
    layout = TokenLayout(len(exact_values), groups, missing=domain.missing)
    return NumericColumn(
        name, scale, exact_values, quantiles, layout, np.concatenate([ranks, centres])
    )


def tokenize_rows(
    rows: LabeledRows, domains: Mapping[str, ColumnDomain], tokenizer: Tokenizer
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(S, N), each row from itself alone."""
    table = rows.take(rows.train)
    columns = [clamp_to_domain(table.column(name), domain) for name, domain in domains.items()]
    fitting = pa.table(columns, schema=tokenizer.arrow)
    return np.concatenate(
        [c.encode(fitting.column(c.name).chunk(0), None) for c in tokenizer.columns]
    )


def clamp_to_domain(values: pa.ChunkedArray, domain: ColumnDomain) -> pa.Array:
    """Values as their domain has them, whatever they are."""
    values = values.combine_chunks()
    if domain.min is None:
        known = pa.array(domain.values)
        found = pa.compute.index_in(values.cast(pa.string()), known.cast(pa.string()))
        return known.take(found if domain.missing else found.fill_null(0)).cast(
            ARROW_TYPES[domain.type]
        )
    floats = values.cast(pa.float64(), safe=False)
    known = floats.fill_null(np.nan).to_numpy(zero_copy_only=False)
    gone = np.isnan(known)
    inside = np.round(
        np.clip(np.where(gone, domain.min, known), domain.min, domain.max), domain.decimals
    )
    return pa.array(inside, mask=gone if domain.missing else None).cast(ARROW_TYPES[domain.type])


def noisy_counts(tokens: Tensor, sizes: list[int], noise: float, secret: int) -> list[Tensor]:
    """Of each step's tokens, of (S, N). A row counts once at each of S steps: it changes them by
    the square root of S in all."""
    rng = np.random.Generator(np.random.Philox(secret))
    scale = noise * len(sizes) ** 0.5
    return [
        (torch.bincount(row, minlength=size) + torch.from_numpy(rng.normal(0, scale, size))).clamp(
            0
        )
        for row, size in zip(tokens, sizes, strict=True)
    ]


def train_step(trainer: AutoregressiveTrainer, tokens: Tensor, noise: float, steps: int) -> None:
    """Each of the (S, N) rows is read with the same chance, by itself."""
    settings = trainer.settings
    rng = np.random.Generator(
        np.random.Philox(np.random.SeedSequence((trainer.secret, trainer.step)))
    )
    chosen = torch.from_numpy(rng.random(tokens.shape[1]) < settings.batch_size / tokens.shape[1])
    total = clipped_gradient_sum(trainer.G, tokens[:, chosen])
    for name, weight in trainer.G.named_parameters():
        random = torch.from_numpy(rng.standard_normal(weight.shape, np.float32))
        weight.grad = (total[name] + MAX_GRADIENT_NORM * noise * random) / settings.batch_size
    left = (steps - trainer.step) / (steps * settings.lr_decay_fraction)
    warm = min(1.0, (trainer.step + 1) / settings.warmup_steps)
    set_lr(trainer.opt_G, settings.generator_lr * min(warm, left))
    trainer.opt_G.step()
    trainer.step += 1
    trainer.update_ema()


class _Loss(nn.Module):
    """A generator's loss as what it is called for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, row: Tensor) -> Tensor:
        return self.network.loss(row[:, None])  # type: ignore[operator]


def clipped_gradient_sum(network: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """The sum of the gradients of (S, B) rows, by parameter, each of them at most LONGEST long; one
    that is no number counts for nothing."""
    loss = _Loss(network.eval())
    weights = {name: weight.detach() for name, weight in loss.named_parameters()}
    of_each = torch.func.vmap(
        torch.func.grad(lambda weights, row: torch.func.functional_call(loss, weights, (row,))),
        in_dims=(None, 1),
    )
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for part in tokens.split(MICROBATCH_ROWS, dim=1) if tokens.shape[1] else ():
        gradients = of_each(weights, part)
        squares = sum((g.flatten(1).square().sum(1) for g in gradients.values()), torch.zeros(()))
        factor = (MAX_GRADIENT_NORM / squares.sqrt()).clamp(max=1.0)
        finite = squares.isfinite()
        for name, gradient in gradients.items():
            total[name] += torch.einsum("b,b...->...", factor[finite], gradient[finite])
    return {name.removeprefix("network."): gradient for name, gradient in total.items()}
