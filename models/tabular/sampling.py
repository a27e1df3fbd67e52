"""A trained generator of rows, ready to draw.

Row k depends on the model, the condition, the seed and k alone: its random numbers come from
(seed, k), and batches have one fixed shape. Where a condition is met by choosing, or the model's
critic chooses, row k is the first of its own candidates that is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import UnreadableCheckpoint
from models.errors import AcceptanceRateTooLow
from models.noise import NOISE, Indices, attempt_stream, uniforms
from models.tabular import gan_networks
from models.tabular.autoregressive_networks import Critic, build_critic, build_generator
from models.tabular.autoregressive_sampler import (
    UNKNOWN_TOKEN,
    AllowedTokens,
    AutoregressiveSampler,
    TokenSampler,
)
from models.tabular.categorical_columns import CategoricalColumn, Column, Floats, Tokens
from models.tabular.conditions import CompletionUnsupported, Condition, InvalidCondition
from models.tabular.constraints import Constraint
from models.tabular.partial_rows import PartialRows
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer

BATCH_SIZE = 1024  # one fixed shape: a row does not depend on how many are drawn with it
MAX_ATTEMPTS = 2_000  # candidates for one row, at most
MAX_CANDIDATES_PER_ROUND = 64  # candidates for one row in one round
NUM_PARTICLES = 32  # candidates for the completion of one row
MAX_COMPLETION_ATTEMPTS = 50  # of a row, until one keeps to the constraints


class RowHashesMissing(Exception):
    """A model that does not know which rows it was made from."""


@dataclass(frozen=True)
class SampleBatch:
    rows: pa.RecordBatch
    acceptance_rate: float  # share of the candidates that were kept


@dataclass(frozen=True)
class _Plan:
    """How conditions are met: by the tokens that may be drawn at some steps, made in this order
    (None: as always), and by choosing for what these leave open."""

    allowed: AllowedTokens
    order: list[int] | None
    rejection_conditions: list[Condition]
    exclude_training_rows: bool


@dataclass
class _Candidates:
    """Rows so far, in the order of the items."""

    tokens: Tokens  # (S, N)
    u: Floats  # (draws, N)
    accepted: NDArray[np.bool_]  # (N,)
    num_tried: int = 0
    num_accepted: int = 0


@dataclass(frozen=True)
class TableSampler:
    tokenizer: Tokenizer
    token_sampler: TokenSampler
    critic: Critic | None  # None: every row is kept
    always_accept_score: float  # the critic's score from which on every row is kept
    supports_any_order: bool  # whether any column may be made first
    bytes: int
    batch_size: int = BATCH_SIZE

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """Raises UnreadableCheckpoint when the file holds no model of rows."""
        if header.get("modality") != "tabular":
            raise UnreadableCheckpoint("not a model of table rows")
        tokenizer = Tokenizer.from_tensors(header["tokenizer"], tensors)
        settings = TableSettings.from_dict(header["hyperparameters"])
        critic = None
        if weights := _under("critic.", tensors):
            critic = build_critic(tokenizer, settings).eval().requires_grad_(False)
            critic.load_state_dict(weights)
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        maker = load_token_sampler(tokenizer, settings, tensors)
        any_order = settings.random_order_prob > 0 and settings.architecture == "autoregressive"
        return cls(
            tokenizer, maker, critic, header.get("always_accept_score", 0.0), any_order, size
        )

    def sample(
        self,
        seed: int,
        indices: Indices,
        conditions: Mapping[str, Any] | None = None,
        seen: set[Any] | None = None,
        *,
        exclude_training_rows: bool = False,
    ) -> SampleBatch:
        """A row for each item. `given` says by column what every row must have, as
        `Condition.parse` reads it. What is asked of the label, or, after training in any order, of
        any columns of which at most one is left a choice, is met directly; the rest is met by
        choosing among candidates. Where a constraint wants rows to be unique, they are among themselves
        and those of `seen`, which they join.

        Raises InvalidCondition, NoHashes, and TooRare when some row has no candidate to keep.
        """
        if exclude_training_rows and self.tokenizer.hashes is None:
            raise RowHashesMissing
        plan = replace(
            self._plan(self._conditions(conditions or {})),
            exclude_training_rows=exclude_training_rows,
        )
        unique = self._unique()
        seen = set() if seen is None else seen
        taken: set[Any] = set()
        n, s = len(indices), len(self.tokenizer.step_sizes)
        done = _Candidates(
            np.zeros((s, n), np.int64),
            np.zeros((self.tokenizer.num_decode_uniforms, n)),
            np.zeros(n, bool),
        )
        attempt = 0
        while not done.accepted.all() and attempt < MAX_ATTEMPTS:
            pending = np.flatnonzero(~done.accepted)
            # The first round tells how many candidates a row takes.
            at_once = (
                1
                if attempt == 0
                else int(np.clip(self.batch_size // len(pending), 1, MAX_CANDIDATES_PER_ROUND))
            )
            for part in np.array_split(
                pending, -(-len(pending) * at_once // (64 * self.batch_size))
            ):
                self._try(seed, indices, part, range(attempt, attempt + at_once), plan, done)
            attempt += at_once
            if unique:
                taken = self._drop_duplicates(done, unique, seen)
        seen |= taken
        acceptance = done.num_accepted / done.num_tried if done.num_tried else 1.0
        if not done.accepted.all():
            raise AcceptanceRateTooLow(int(done.accepted.sum()), n, acceptance)
        names = self._names(seed, indices, done.tokens)
        return SampleBatch(self.tokenizer.decode(done.tokens, done.u, names), acceptance)

    def _try(
        self,
        seed: int,
        items: Indices,
        pending: NDArray[np.int64],
        attempts: range,
        plan: _Plan,
        done: _Candidates,
    ) -> None:
        """Candidates of the pending items, attempt by attempt; the first that is kept stays."""
        size = self.token_sampler.num_uniforms + (self.critic is not None)
        u = np.concatenate(
            [uniforms(seed, items[pending], size, attempt_stream(attempt)) for attempt in attempts]
        ).T
        tokens, places = self._generate(u[: self.token_sampler.num_uniforms], plan)
        kept = self._accept(tokens, places, u[-1], plan).reshape(len(attempts), len(pending))
        first = kept.argmax(0)
        found = kept.any(0)
        # Candidates behind the first that was kept were not needed.
        done.num_tried += int(np.where(found, first + 1, len(attempts)).sum())
        done.num_accepted += int(found.sum())
        chosen = (first * len(pending) + np.arange(len(pending)))[found]
        done.tokens[:, pending[found]] = tokens[:, chosen]
        done.u[:, pending[found]] = places[:, chosen]
        done.accepted[pending[found]] = True

    def _unique(self) -> list[Constraint]:
        """Identifiers are unique as they are."""
        ids = {identifier.name for identifier in self.tokenizer.id_columns}
        constraints = [
            constraint for constraint in self.tokenizer.constraints if constraint.kind == "unique"
        ]
        return [constraint for constraint in constraints if not ids & set(constraint.columns)]

    def _drop_duplicates(
        self, done: _Candidates, unique: Sequence[Constraint], seen: set[Any]
    ) -> set[Any]:
        """Rows that are like one before them have to be found again. What those that stay are, so
        that none becomes like them; missing values are like nothing."""
        places = np.flatnonzero(done.accepted)
        rows = self.tokenizer.decode(done.tokens[:, places], done.u[:, places])
        taken = set(seen)
        for number, constraint in enumerate(unique):
            values = [rows.column(name).to_pylist() for name in constraint.columns]
            for place, value in zip(places, zip(*values, strict=True), strict=True):
                if None in value or not done.accepted[place]:
                    continue
                if (number, value) in taken:
                    done.accepted[place] = False
                    done.num_accepted -= 1
                taken.add((number, value))
        return taken

    def complete(self, seed: int, indices: Indices, partial_rows: PartialRows) -> SampleBatch:
        """A row for each item with what is known of it, value by value as it was given, and the
        rest drawn from what the model makes of that. Rules are kept but for those of unique rows;
        the critic has no say.

        Raises CannotComplete, and TooRare when what is known of some row goes with no constraint.
        """
        if not isinstance(self.token_sampler, AutoregressiveSampler):
            raise CompletionUnsupported
        given = partial_rows.tokens
        tokens = np.zeros_like(given)
        particles = 1 if self.supports_any_order else NUM_PARTICLES
        places = np.ascontiguousarray(
            uniforms(seed, indices, self.token_sampler.num_uniforms, NOISE).T[len(given) :]
        )
        pending, tried = np.arange(len(indices)), 0
        for attempt in range(MAX_COMPLETION_ATTEMPTS):
            first = attempt * (particles + 1)  # of the streams of random numbers
            for mine, order in self._given_columns_first(given[:, pending]):
                index = pending[mine]
                tokens[:, index] = self._completed(
                    seed, indices[index], given[:, index], range(first, first + particles), order
                )
            tried += len(pending)
            names = self._names(seed, indices, tokens)
            rows = partial_rows.overwrite(self.tokenizer.decode(tokens, places, names))
            pending = np.flatnonzero(~self.tokenizer.satisfies_constraints(tokens, rows))
            if not len(pending):
                return SampleBatch(rows, len(indices) / (tried * particles))
        raise AcceptanceRateTooLow(
            len(indices) - len(pending), len(indices), len(indices) / (tried * particles)
        )

    def _given_columns_first(
        self, given: Tokens
    ) -> list[tuple[NDArray[np.int64], list[int] | None]]:
        """(S, N) tokens to the rows that are made in one order, and that order: the columns that
        are given come first where they can."""
        if not self.supports_any_order:
            return [(np.arange(given.shape[1]), None)]
        told = given[[steps.start for steps in self.tokenizer.column_slices]] != UNKNOWN_TOKEN
        patterns, which = np.unique(told, axis=1, return_inverse=True)
        names = np.array([column.name for column in self.tokenizer.columns], object)
        return [
            (
                np.flatnonzero(which.reshape(-1) == i),
                self.tokenizer.steps_in_order(list(names[pattern])),
            )
            for i, pattern in enumerate(patterns.T)
        ]

    def _completed(
        self, seed: int, items: Indices, given: Tokens, streams: range, order: list[int] | None
    ) -> Tokens:
        """(S, N). One fixed shape: a row does not depend on those that are completed with it."""
        assert isinstance(self.token_sampler, AutoregressiveSampler)  # noqa: S101 - `complete` has looked
        size, n = given.shape
        at_once = self.batch_size // len(streams)
        tokens = np.empty_like(given)
        for part in np.array_split(np.arange(n), range(at_once, n, at_once)):
            filled = np.pad(part, (0, at_once - len(part)), mode="edge")
            of_item = items[filled]
            parts = [uniforms(seed, of_item, size, attempt_stream(i)).T for i in streams]
            u = np.concatenate(parts, axis=1).astype(np.float32)
            pick = uniforms(seed, of_item, size + 1, attempt_stream(streams.stop)).T
            made = self.token_sampler.complete(
                torch.from_numpy(u),
                torch.from_numpy(np.ascontiguousarray(pick)),
                torch.from_numpy(given[:, filled]),
                order,
            )
            tokens[:, part] = made.numpy()[:, : len(part)]
        return tokens

    def _generate(self, u: Floats, plan: _Plan) -> tuple[Tokens, Floats]:
        """(S, M) tokens and (draws, M) places in bins, in batches of the fixed shape,
        the last of them filled up."""
        m = u.shape[1]
        filled = np.full((u.shape[0], -(-m // self.batch_size) * self.batch_size), 0.5, np.float32)
        filled[:, :m] = u
        made = [
            self.token_sampler.sample(
                torch.from_numpy(np.ascontiguousarray(part)), plan.allowed, plan.order
            )
            for part in np.split(filled, filled.shape[1] // self.batch_size, axis=1)
        ]
        tokens, places = (torch.cat(parts, 1).numpy()[:, :m] for parts in zip(*made, strict=True))
        return tokens, places.astype(np.float64)

    def _accept(self, tokens: Tokens, places: Floats, u: Floats, plan: _Plan) -> NDArray[np.bool_]:
        """(M,), by the conditions and by the critic's chance `u` (M,)."""
        kept = np.ones(tokens.shape[1], bool)
        if plan.rejection_conditions or self.tokenizer.constraints or plan.exclude_training_rows:
            rows = self.tokenizer.decode(tokens, places)
            kept &= self.tokenizer.satisfies_constraints(tokens, rows)
            if plan.exclude_training_rows:
                kept &= ~self.tokenizer.is_training_row(rows)
            for condition in plan.rejection_conditions:
                kept &= condition.matches(rows.column(condition.column))
        if self.critic is not None:
            kept &= u < self._acceptance_prob(tokens)
        return kept

    @torch.inference_mode()
    def _acceptance_prob(self, tokens: Tokens) -> Floats:
        """How likely a row is to be kept: as much as the critic takes it for real rather than made
        (Azadi et al. 2019, 1810.06758)."""
        assert self.critic is not None  # noqa: S101 - asked for only with a critic
        m = tokens.shape[1]
        filled = np.zeros((tokens.shape[0], -(-m // self.batch_size) * self.batch_size), np.int64)
        filled[:, :m] = tokens
        scores = torch.cat(
            [self.critic(part) for part in torch.from_numpy(filled).split(self.batch_size, dim=1)]
        )
        return np.exp(np.minimum(scores[:m].double().numpy() - self.always_accept_score, 0.0))

    def _conditions(self, given: Mapping[str, Any]) -> list[Condition]:
        learned = {column.name for column in self.tokenizer.columns}
        for name in given:
            if name not in learned:
                raise InvalidCondition(name, "is no column that was learned")
        schema = self.tokenizer.arrow
        return [Condition.parse(schema.field(name), wanted) for name, wanted in given.items()]

    def _plan(self, conditions: list[Condition]) -> _Plan:
        """Raises InvalidCondition where no token can meet what is asked of a column."""
        masks = {condition.column: self._masks(condition) for condition in conditions}
        first = [c for c in conditions if c.column == self.tokenizer.columns[0].name]
        if self.supports_any_order:
            # Several choices, one after the other, would not weigh each other.
            first = [c for c in conditions if all(m.sum() == 1 for m in masks[c.column])]
            first += [c for c in conditions if c not in first][:1]
        allowed: dict[int, Tensor] = {}
        for condition in first:
            start = self.tokenizer.column_slices[self._number(condition.column)].start
            allowed |= enumerate(masks[condition.column], start)
        names = [condition.column for condition in first]
        return _Plan(
            allowed,
            self.tokenizer.steps_in_order(names) if self.supports_any_order and names else None,
            [c for c in conditions if c not in first or not self._is_whole(c)],
            exclude_training_rows=False,
        )

    def _number(self, name: str) -> int:
        return next(i for i, column in enumerate(self.tokenizer.columns) if column.name == name)

    def _is_whole(self, condition: Condition) -> bool:
        """Whether tokens that are allowed meet the condition without any choosing."""
        column = self.tokenizer.columns[self._number(condition.column)]
        return column.layout.bins == 0 or self._one_name(condition)

    def _one_name(self, condition: Condition) -> bool:
        values = condition.values
        column = self.tokenizer.columns[self._number(condition.column)]
        return (
            isinstance(column, CategoricalColumn)
            and values is not None
            and len(values) == 1
            and values[0].is_valid
        )

    def _masks(self, condition: Condition) -> list[Tensor]:
        """The tokens of the column's steps that can meet what is asked of it."""
        column = self.tokenizer.columns[self._number(condition.column)]
        if isinstance(column, CategoricalColumn) and column.layout.bins:
            masks = self._name_masks(column, condition)
        else:
            masks = [self._first_mask(column, condition)]
        if not masks[0].any():
            raise InvalidCondition(column.name, "no row that was learned from meets it")
        return masks

    def _first_mask(self, column: Column, condition: Condition) -> Tensor:
        layout = column.layout
        first = np.arange(layout.step_sizes[0])
        low = np.stack([first, *(np.full(len(first), 1) for _ in layout.sub_bins)])
        high = np.stack([first, *(np.full(len(first), size) for size in layout.sub_bins)])
        met = condition.matches(column.decode(low, np.zeros(len(first))))
        if groups := np.flatnonzero(layout.is_bin(first)).tolist():
            ends = (
                column.decode(tokens[:, groups], np.full(len(groups), u))
                for tokens, u in ((low, 0.0), (high, 1.0))
            )
            met[groups] = condition.can_match(*ends)
        return torch.from_numpy(met)

    def _name_masks(self, column: CategoricalColumn, condition: Condition) -> list[Tensor]:
        """The groups of the names that are wanted; of a single name, its digits too."""
        names = column.decode_categories()
        met = names.filter(pa.array(condition.matches(names)))
        tokens = column.encode(met, np.random.default_rng(0))
        masks = [torch.zeros(size, dtype=torch.bool) for size in column.layout.step_sizes]
        for mask, step in zip(masks, tokens, strict=True):
            mask[torch.from_numpy(step)] = True
        if column.layout.missing:
            masks[0][-1] = bool(condition.matches(pa.nulls(1, column.arrow))[0])
        return masks if self._one_name(condition) else masks[:1]

    def _names(self, seed: int, items: Indices, tokens: Tokens) -> dict[str, pa.Array]:
        """Identifiers: with labels, item k of each label has its own."""
        index = items
        if self.tokenizer.columns[0].name == self.tokenizer.target_column:
            for step, size in enumerate(self.tokenizer.columns[0].layout.step_sizes):
                index = index * size + tokens[step]
        return {i.name: i.values(seed, index) for i in self.tokenizer.id_columns}


def load_token_sampler(
    tokenizer: Tokenizer, settings: TableSettings, tensors: Mapping[str, Tensor]
) -> TokenSampler:
    weights = _under("generator.", tensors)
    if settings.architecture == "gan":
        parts = gan_networks.RowFeaturizer(tokenizer)
        whole = gan_networks.Generator(parts, settings).eval().requires_grad_(False)
        whole.load_state_dict(weights)
        return gan_networks.GanSampler(whole, parts, settings)
    network = build_generator(tokenizer, settings).eval().requires_grad_(False)
    network.load_state_dict(weights)
    return AutoregressiveSampler(network, tokenizer.sub_bin_steps, tokenizer.num_decode_uniforms)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
