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

from models.run import Run
from models.tables.accounting import Noise, Promise
from models.tables.columns import CategoryColumn, Column, Layout
from models.tables.data import LabelledRows
from models.tables.domain import Domain
from models.tables.encoding import Encoding
from models.tables.numbers import BINS, DISTINCT, NumberColumn, Quantiles, Scale
from models.tables.settings import TableSettings
from models.tables.training import Networks, set_rate

LONGEST = 1.0  # gradient of one row
AT_ONCE = 64  # rows whose gradients are kept apart
KNOTS = 1_025  # of numbers spread evenly between their ends
ARROW = {
    "category": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
}


def train(
    rows: LabelledRows,
    domains: Mapping[str, Domain],
    settings: TableSettings,
    promise: Promise,
    run: Run,
    *,
    seed: int,
    state: Path | None = None,
) -> None:
    """Train for the promised steps; goes on from `state` if there is one.

    `seed` is public: it chooses the networks to begin with. The noise comes from a secret that
    only the state holds. Raises NoAccountant and OutOfReach.
    """
    noise = Noise.keeping(promise, min(1.0, settings.batch / len(rows.train)))
    learn(rows, domains, settings, noise, promise.steps, run, seed=seed, state=state)
    run.report(promise.steps, {"epsilon": promise.epsilon})


def learn(
    rows: LabelledRows,
    domains: Mapping[str, Domain],
    settings: TableSettings,
    noise: Noise,
    steps: int,
    run: Run,
    *,
    seed: int,
    state: Path | None = None,
) -> None:
    encoding = encoding_of(domains, rows.label)
    nets = Networks(encoding, settings, seed)
    tokens = torch.from_numpy(tokens_of(rows, domains, encoding))
    if state is None:
        nets.secret = secrets.randbits(128)
        nets.G.heads.start_from(noisy_counts(tokens, encoding.sizes, noise.counts, nets.secret))
        nets.average.load_state_dict(nets.G.state_dict())
    else:
        nets.load_state(state)
    while nets.step < steps and run.progress(nets.step) < 1:
        if run.wants_checkpoint(nets.step):
            save(nets, run)
        step(nets, tokens, noise.gradients, steps)
    save(nets, run)


def save(nets: Networks, run: Run) -> None:
    nets.best.load_state_dict(nets.average.state_dict())
    run.save(nets.step, nets.pack())


def encoding_of(domains: Mapping[str, Domain], label: str | None) -> Encoding:
    """Of what is declared, and of nothing that was seen."""
    arrow = pa.schema([(name, ARROW[domain.type]) for name, domain in domains.items()])
    columns = [_column(name, domain) for name, domain in domains.items()]
    columns.sort(key=lambda column: column.name != label)
    return Encoding(arrow, tuple(columns), (), label)


def _column(name: str, domain: Domain) -> Column:
    arrow = ARROW[domain.type]
    if domain.min is None:
        texts = pa.array(domain.values).cast(pa.string())
        return CategoryColumn(name, arrow, texts, Layout(len(texts), missing=domain.missing))
    assert domain.max is not None  # noqa: S101 - both ends are given, or none
    whole = domain.type == "integer"
    scale = Scale(arrow, unit=1) if whole else Scale(arrow, decimals=domain.decimals)
    kind = np.int64 if whole else np.float64
    if whole and domain.max - domain.min < DISTINCT:
        atoms, groups = np.arange(domain.min, domain.max + 1).astype(kind), 0
    else:
        atoms, groups = np.array(domain.values, kind), BINS
    knots = np.linspace(domain.min, domain.max, KNOTS if groups else 0)
    quantiles = Quantiles((np.rint(knots) if whole else knots).astype(kind), np.empty(0))
    centres = (np.arange(groups) + 0.5) / max(groups, 1)
    ranks = (atoms - domain.min) / (domain.max - domain.min)
    layout = Layout(len(atoms), groups, missing=domain.missing)
    return NumberColumn(name, scale, atoms, quantiles, layout, np.concatenate([ranks, centres]))


def tokens_of(
    rows: LabelledRows, domains: Mapping[str, Domain], encoding: Encoding
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(S, N), each row from itself alone."""
    table = rows.part(rows.train)
    columns = [declared(table.column(name), domain) for name, domain in domains.items()]
    fitting = pa.table(columns, schema=encoding.arrow)
    return np.concatenate(
        [c.encode(fitting.column(c.name).chunk(0), None) for c in encoding.columns]
    )


def declared(values: pa.ChunkedArray, domain: Domain) -> pa.Array:
    """Values as their domain has them, whatever they are."""
    values = values.combine_chunks()
    if domain.min is None:
        known = pa.array(domain.values)
        found = pa.compute.index_in(values.cast(pa.string()), known.cast(pa.string()))
        return known.take(found if domain.missing else found.fill_null(0)).cast(ARROW[domain.type])
    floats = values.cast(pa.float64(), safe=False)
    known = floats.fill_null(np.nan).to_numpy(zero_copy_only=False)
    gone = np.isnan(known)
    inside = np.round(
        np.clip(np.where(gone, domain.min, known), domain.min, domain.max), domain.decimals
    )
    return pa.array(inside, mask=gone if domain.missing else None).cast(ARROW[domain.type])


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


def step(nets: Networks, tokens: Tensor, noise: float, steps: int) -> None:
    """Each of the (S, N) rows is read with the same chance, by itself."""
    settings = nets.settings
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((nets.secret, nets.step))))
    chosen = torch.from_numpy(rng.random(tokens.shape[1]) < settings.batch / tokens.shape[1])
    total = shortened(nets.G, tokens[:, chosen])
    for name, weight in nets.G.named_parameters():
        random = torch.from_numpy(rng.standard_normal(weight.shape, np.float32))
        weight.grad = (total[name] + LONGEST * noise * random) / settings.batch
    left = (steps - nets.step) / (steps * settings.cooling)
    warm = min(1.0, (nets.step + 1) / settings.warmup)
    set_rate(nets.opt_G, settings.rate * min(warm, left))
    nets.opt_G.step()
    nets.step += 1
    nets.update_average()


class _Loss(nn.Module):
    """A generator's loss as what it is called for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, row: Tensor) -> Tensor:
        return self.network.loss(row[:, None])  # type: ignore[operator]


def shortened(network: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """The sum of the gradients of (S, B) rows, by parameter, each of them at most LONGEST long; one
    that is no number counts for nothing."""
    loss = _Loss(network.eval())
    weights = {name: weight.detach() for name, weight in loss.named_parameters()}
    of_each = torch.func.vmap(
        torch.func.grad(lambda weights, row: torch.func.functional_call(loss, weights, (row,))),
        in_dims=(None, 1),
    )
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for part in tokens.split(AT_ONCE, dim=1) if tokens.shape[1] else ():
        gradients = of_each(weights, part)
        squares = sum((g.flatten(1).square().sum(1) for g in gradients.values()), torch.zeros(()))
        factor = (LONGEST / squares.sqrt()).clamp(max=1.0)
        finite = squares.isfinite()
        for name, gradient in gradients.items():
            total[name] += torch.einsum("b,b...->...", factor[finite], gradient[finite])
    return {name.removeprefix("network."): gradient for name, gradient in total.items()}
