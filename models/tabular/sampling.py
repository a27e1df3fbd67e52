"""Sampler of a trained tabular model.

Row k depends on the model, the condition, the seed and k alone: its random numbers come from (seed,
k), and batches have one fixed shape. With rejection sampling, by a condition or by the model's
critic, row k is the first of its candidates that is accepted.
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

BATCH_SIZE = 1024  # fixed, so that a row does not depend on the number of rows sampled with it
MAX_ATTEMPTS = 2_000  # candidates per row
MAX_CANDIDATES_PER_ROUND = 64  # per row
NUM_PARTICLES = 32  # per row to complete
MAX_COMPLETION_ATTEMPTS = 50  # per row, until it satisfies the constraints


class RowHashesMissing(Exception):
    """The model does not store the hashes of its training rows."""


@dataclass(frozen=True)
class SampleBatch:
    rows: pa.RecordBatch
    acceptance_rate: float  # accepted share of the candidates

    def __len__(self) -> int:
        return int(self.rows.num_rows)


@dataclass(frozen=True)
class _Plan:
    """The method by which conditions are satisfied.

    `allowed` restricts the tokens of some steps. `order` samples these steps first (None: default
    order). `rejection_conditions` reject candidates.
    """

    allowed: AllowedTokens
    order: list[int] | None
    rejection_conditions: list[Condition]
    exclude_training_rows: bool


@dataclass
class _Candidates:
    """The accepted row of each item, where there is one."""

    tokens: Tokens  # (S, N)
    u: Floats  # (num_decode_uniforms, N)
    accepted: NDArray[np.bool_]  # (N,)
    num_tried: int = 0
    num_accepted: int = 0


@dataclass(frozen=True)
class TableSampler:
    tokenizer: Tokenizer
    token_sampler: TokenSampler
    critic: Critic | None  # None: no rejection by the critic
    always_accept_score: float  # rows that the critic scores at least this high are accepted
    supports_any_order: bool  # any column can be sampled first
    bytes: int
    batch_size: int = BATCH_SIZE

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """Load a model file. Raises UnreadableCheckpoint if it is not a tabular model."""
        if header.get("modality") != "tabular":
            raise UnreadableCheckpoint("The checkpoint is not a tabular model.")
        tokenizer = Tokenizer.from_tensors(header["tokenizer"], tensors)
        settings = TableSettings.from_dict(header["hyperparameters"])
        critic = None
        if weights := _with_prefix("critic.", tensors):
            critic = build_critic(tokenizer, settings).eval().requires_grad_(False)
            critic.load_state_dict(weights)
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        token_sampler = load_token_sampler(tokenizer, settings, tensors)
        supports_any_order = (
            settings.random_order_prob > 0 and settings.architecture == "autoregressive"
        )
        return cls(
            tokenizer,
            token_sampler,
            critic,
            header.get("always_accept_score", 0.0),
            supports_any_order,
            size,
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
        """Generate one row for each index.

        `conditions` maps columns to what `Condition.parse` accepts. A condition on the first column
        is satisfied directly, by restricting its tokens. A model trained with random orders does so
        for any columns, as long as at most one has more than one allowed token per step. Other
        conditions are satisfied by rejection sampling. Where a constraint requires unique rows,
        they differ from each other and from those in `seen`, to which they are added.

        Raises InvalidCondition, RowHashesMissing, and AcceptanceRateTooLow if some row has no
        accepted candidate.
        """
        if exclude_training_rows and self.tokenizer.hashes is None:
            raise RowHashesMissing
        plan = replace(
            self._plan(self._parse_conditions(conditions or {})),
            exclude_training_rows=exclude_training_rows,
        )
        unique = self._unique_constraints()
        seen = set() if seen is None else seen
        accepted_values: set[Any] = set()
        num_rows, num_steps = len(indices), len(self.tokenizer.step_sizes)
        done = _Candidates(
            np.zeros((num_steps, num_rows), np.int64),
            np.zeros((self.tokenizer.num_decode_uniforms, num_rows)),
            np.zeros(num_rows, bool),
        )
        attempt = 0
        while not done.accepted.all() and attempt < MAX_ATTEMPTS:
            pending = np.flatnonzero(~done.accepted)
            # The first round shows how many rows need more candidates.
            num_candidates = (
                1
                if attempt == 0
                else int(np.clip(self.batch_size // len(pending), 1, MAX_CANDIDATES_PER_ROUND))
            )
            for part in np.array_split(
                pending, -(-len(pending) * num_candidates // (64 * self.batch_size))
            ):
                self._try_candidates(
                    seed, indices, part, range(attempt, attempt + num_candidates), plan, done
                )
            attempt += num_candidates
            if unique:
                accepted_values = self._drop_duplicates(done, unique, seen)
        seen |= accepted_values
        acceptance = done.num_accepted / done.num_tried if done.num_tried else 1.0
        if not done.accepted.all():
            raise AcceptanceRateTooLow(int(done.accepted.sum()), num_rows, acceptance)
        id_values = self._id_values(seed, indices, done.tokens)
        return SampleBatch(self.tokenizer.decode(done.tokens, done.u, id_values), acceptance)

    def _try_candidates(
        self,
        seed: int,
        indices: Indices,
        pending: NDArray[np.int64],
        attempts: range,
        plan: _Plan,
        done: _Candidates,
    ) -> None:
        """Generate candidates for the pending items; the first accepted one of each is stored."""
        size = self.token_sampler.num_uniforms + (self.critic is not None)
        u = np.concatenate(
            [
                uniforms(seed, indices[pending], size, attempt_stream(attempt))
                for attempt in attempts
            ]
        ).T
        tokens, decode_u = self._generate(u[: self.token_sampler.num_uniforms], plan)
        accepted = self._accept(tokens, decode_u, u[-1], plan).reshape(len(attempts), len(pending))
        first = accepted.argmax(0)
        has_accepted = accepted.any(0)
        # The acceptance rate ignores candidates after the first accepted one.
        done.num_tried += int(np.where(has_accepted, first + 1, len(attempts)).sum())
        done.num_accepted += int(has_accepted.sum())
        chosen = (first * len(pending) + np.arange(len(pending)))[has_accepted]
        done.tokens[:, pending[has_accepted]] = tokens[:, chosen]
        done.u[:, pending[has_accepted]] = decode_u[:, chosen]
        done.accepted[pending[has_accepted]] = True

    def _unique_constraints(self) -> list[Constraint]:
        """Return the `unique` constraints, except on identifiers, which are always unique."""
        ids = {id_column.name for id_column in self.tokenizer.id_columns}
        constraints = [
            constraint for constraint in self.tokenizer.constraints if constraint.kind == "unique"
        ]
        return [constraint for constraint in constraints if not ids & set(constraint.columns)]

    def _drop_duplicates(
        self, done: _Candidates, unique: Sequence[Constraint], seen: set[Any]
    ) -> set[Any]:
        """Mark accepted rows that repeat an earlier one as pending again.

        Returns the values of all accepted rows, to compare later ones with. A missing value is
        equal to nothing.
        """
        indices = np.flatnonzero(done.accepted)
        rows = self.tokenizer.decode(done.tokens[:, indices], done.u[:, indices])
        accepted_values = set(seen)
        for constraint_index, constraint in enumerate(unique):
            values = [rows.column(name).to_pylist() for name in constraint.columns]
            for index, value in zip(indices, zip(*values, strict=True), strict=True):
                if None in value or not done.accepted[index]:
                    continue
                if (constraint_index, value) in accepted_values:
                    done.accepted[index] = False
                    done.num_accepted -= 1
                accepted_values.add((constraint_index, value))
        return accepted_values

    def complete(self, seed: int, indices: Indices, partial_rows: PartialRows) -> SampleBatch:
        """Complete partial rows: given values are unchanged, the others are sampled given them.

        Constraints are satisfied, except `unique`. The critic does not reject rows.

        Raises CompletionUnsupported, and AcceptanceRateTooLow if no completion of some row
        satisfies the constraints.
        """
        if not isinstance(self.token_sampler, AutoregressiveSampler):
            raise CompletionUnsupported
        given = partial_rows.tokens
        tokens = np.zeros_like(given)
        particles = 1 if self.supports_any_order else NUM_PARTICLES
        decode_u = np.ascontiguousarray(
            uniforms(seed, indices, self.token_sampler.num_uniforms, NOISE).T[len(given) :]
        )
        pending, num_tried = np.arange(len(indices)), 0
        for attempt in range(MAX_COMPLETION_ATTEMPTS):
            first_stream = attempt * (particles + 1)
            for members, order in self._given_columns_first(given[:, pending]):
                index = pending[members]
                tokens[:, index] = self._complete_batch(
                    seed,
                    indices[index],
                    given[:, index],
                    range(first_stream, first_stream + particles),
                    order,
                )
            num_tried += len(pending)
            id_values = self._id_values(seed, indices, tokens)
            rows = partial_rows.overwrite(self.tokenizer.decode(tokens, decode_u, id_values))
            pending = np.flatnonzero(~self.tokenizer.satisfies_constraints(tokens, rows))
            if not len(pending):
                return SampleBatch(rows, len(indices) / (num_tried * particles))
        num_accepted = len(indices) - len(pending)
        raise AcceptanceRateTooLow(
            num_accepted, len(indices), num_accepted / (num_tried * particles)
        )

    def _given_columns_first(
        self, given: Tokens
    ) -> list[tuple[NDArray[np.int64], list[int] | None]]:
        """Group (S, N) tokens by sampling order: (indices of the rows, order) of each group.

        The given columns come first, if the model supports any order.
        """
        if not self.supports_any_order:
            return [(np.arange(given.shape[1]), None)]
        is_given = given[[steps.start for steps in self.tokenizer.column_slices]] != UNKNOWN_TOKEN
        patterns, pattern_index = np.unique(is_given, axis=1, return_inverse=True)
        column_names = np.array([column.name for column in self.tokenizer.columns], object)
        return [
            (
                np.flatnonzero(pattern_index.reshape(-1) == i),
                self.tokenizer.steps_in_order(list(column_names[pattern])),
            )
            for i, pattern in enumerate(patterns.T)
        ]

    def _complete_batch(
        self, seed: int, indices: Indices, given: Tokens, streams: range, order: list[int] | None
    ) -> Tokens:
        """Return (S, N) completed tokens.

        Batches have one fixed shape, so a row does not depend on those completed with it.
        """
        assert isinstance(self.token_sampler, AutoregressiveSampler)  # noqa: S101 - see `complete`
        size, n = given.shape
        rows_per_batch = self.batch_size // len(streams)
        tokens = np.empty_like(given)
        for part in np.array_split(np.arange(n), range(rows_per_batch, n, rows_per_batch)):
            padded = np.pad(part, (0, rows_per_batch - len(part)), mode="edge")
            batch_indices = indices[padded]
            particle_u = [uniforms(seed, batch_indices, size, attempt_stream(i)).T for i in streams]
            u = np.concatenate(particle_u, axis=1).astype(np.float32)
            resampling_u = uniforms(seed, batch_indices, size + 1, attempt_stream(streams.stop)).T
            completed = self.token_sampler.complete(
                torch.from_numpy(u),
                torch.from_numpy(np.ascontiguousarray(resampling_u)),
                torch.from_numpy(given[:, padded]),
                order,
            )
            tokens[:, part] = completed.numpy()[:, : len(part)]
        return tokens

    def _generate(self, u: Floats, plan: _Plan) -> tuple[Tokens, Floats]:
        """Return (S, M) tokens and (num_decode_uniforms, M) positions in bins.

        Batches have the fixed shape; the last one is padded.
        """
        m = u.shape[1]
        padded = np.full((u.shape[0], -(-m // self.batch_size) * self.batch_size), 0.5, np.float32)
        padded[:, :m] = u
        batches = [
            self.token_sampler.sample(
                torch.from_numpy(np.ascontiguousarray(part)), plan.allowed, plan.order
            )
            for part in np.split(padded, padded.shape[1] // self.batch_size, axis=1)
        ]
        tokens, decode_u = (
            torch.cat(parts, 1).numpy()[:, :m] for parts in zip(*batches, strict=True)
        )
        return tokens, decode_u.astype(np.float64)

    def _accept(
        self, tokens: Tokens, decode_u: Floats, u: Floats, plan: _Plan
    ) -> NDArray[np.bool_]:
        """Return the (M,) mask of accepted rows; `u` (M,) are uniforms for the critic."""
        accepted = np.ones(tokens.shape[1], bool)
        if plan.rejection_conditions or self.tokenizer.constraints or plan.exclude_training_rows:
            rows = self.tokenizer.decode(tokens, decode_u)
            accepted &= self.tokenizer.satisfies_constraints(tokens, rows)
            if plan.exclude_training_rows:
                accepted &= ~self.tokenizer.is_training_row(rows)
            for condition in plan.rejection_conditions:
                accepted &= condition.matches(rows.column(condition.column))
        if self.critic is not None:
            accepted &= u < self._acceptance_prob(tokens)
        return accepted

    @torch.inference_mode()
    def _acceptance_prob(self, tokens: Tokens) -> Floats:
        """Return (M,) acceptance probabilities of discriminator rejection sampling.

        Azadi et al. 2019, 1810.06758. The critic's score is the log-odds of real against generated,
        so the probability is min(1, exp(score - always_accept_score)).
        """
        assert self.critic is not None  # noqa: S101 - called only with a critic
        num_rows = tokens.shape[1]
        padded = np.zeros(
            (tokens.shape[0], -(-num_rows // self.batch_size) * self.batch_size), np.int64
        )
        padded[:, :num_rows] = tokens
        scores = torch.cat(
            [self.critic(part) for part in torch.from_numpy(padded).split(self.batch_size, dim=1)]
        )
        return np.exp(
            np.minimum(scores[:num_rows].double().numpy() - self.always_accept_score, 0.0)
        )

    def _parse_conditions(self, conditions: Mapping[str, Any]) -> list[Condition]:
        learned = {column.name for column in self.tokenizer.columns}
        for name in conditions:
            if name not in learned:
                raise InvalidCondition(name, "is not a learned column")
        schema = self.tokenizer.arrow
        return [Condition.parse(schema.field(name), spec) for name, spec in conditions.items()]

    def _plan(self, conditions: list[Condition]) -> _Plan:
        """Plan how to satisfy conditions. Raises InvalidCondition if no token can satisfy one."""
        masks = {condition.column: self._token_masks(condition) for condition in conditions}
        direct = [c for c in conditions if c.column == self.tokenizer.columns[0].name]
        if self.supports_any_order:
            # With two open columns, sampling one after the other ignores how likely the second is.
            direct = [c for c in conditions if all(mask.sum() == 1 for mask in masks[c.column])]
            direct += [c for c in conditions if c not in direct][:1]
        allowed: dict[int, Tensor] = {}
        for condition in direct:
            start = self.tokenizer.column_slices[self._column_index(condition.column)].start
            allowed |= enumerate(masks[condition.column], start)
        column_names = [condition.column for condition in direct]
        return _Plan(
            allowed,
            self.tokenizer.steps_in_order(column_names)
            if self.supports_any_order and column_names
            else None,
            [c for c in conditions if c not in direct or not self._is_satisfied_by_tokens(c)],
            exclude_training_rows=False,
        )

    def _column_index(self, name: str) -> int:
        return next(i for i, column in enumerate(self.tokenizer.columns) if column.name == name)

    def _is_satisfied_by_tokens(self, condition: Condition) -> bool:
        """Return True if every allowed token satisfies the condition, so no rejection is needed."""
        column = self.tokenizer.columns[self._column_index(condition.column)]
        return column.layout.bins == 0 or self._selects_one_category(condition)

    def _selects_one_category(self, condition: Condition) -> bool:
        values = condition.values
        column = self.tokenizer.columns[self._column_index(condition.column)]
        return (
            isinstance(column, CategoricalColumn)
            and values is not None
            and len(values) == 1
            and values[0].is_valid
        )

    def _token_masks(self, condition: Condition) -> list[Tensor]:
        """Return masks of the tokens that can satisfy the condition.

        One for each of the column's steps, or for its first step only. Raises InvalidCondition.
        """
        column = self.tokenizer.columns[self._column_index(condition.column)]
        if isinstance(column, CategoricalColumn) and column.layout.bins:
            masks = self._category_masks(column, condition)
        else:
            masks = [self._first_step_mask(column, condition)]
        if not masks[0].any():
            raise InvalidCondition(
                column.name, "has no value in the training data that satisfies the condition"
            )
        return masks

    def _first_step_mask(self, column: Column, condition: Condition) -> Tensor:
        """Return the mask of first-step tokens that can satisfy the condition.

        A bin can if any value between its ends does.
        """
        layout = column.layout
        first_tokens = np.arange(layout.step_sizes[0])
        low = np.stack([first_tokens, *(np.full(len(first_tokens), 1) for _ in layout.sub_bins)])
        high = np.stack(
            [first_tokens, *(np.full(len(first_tokens), size) for size in layout.sub_bins)]
        )
        mask = condition.matches(column.decode(low, np.zeros(len(first_tokens))))
        if bins := np.flatnonzero(layout.is_bin(first_tokens)).tolist():
            bounds = (
                column.decode(tokens[:, bins], np.full(len(bins), u))
                for tokens, u in ((low, 0.0), (high, 1.0))
            )
            mask[bins] = condition.can_match(*bounds)
        return torch.from_numpy(mask)

    def _category_masks(self, column: CategoricalColumn, condition: Condition) -> list[Tensor]:
        """Return the mask of the bins of matching categories.

        For a single category, the masks of its sub-bins follow.
        """
        categories = column.decode_categories()
        matching = categories.filter(pa.array(condition.matches(categories)))
        tokens = column.encode(matching, np.random.default_rng(0))
        masks = [torch.zeros(size, dtype=torch.bool) for size in column.layout.step_sizes]
        for mask, step_tokens in zip(masks, tokens, strict=True):
            mask[torch.from_numpy(step_tokens)] = True
        if column.layout.missing:
            masks[0][-1] = bool(condition.matches(pa.nulls(1, column.arrow))[0])
        return masks if self._selects_one_category(condition) else masks[:1]

    def _id_values(self, seed: int, indices: Indices, tokens: Tokens) -> dict[str, pa.Array]:
        """Return the identifiers of the items.

        With a label, item k of each label gets its own identifier.
        """
        index = indices
        if self.tokenizer.columns[0].name == self.tokenizer.target_column:
            for step, size in enumerate(self.tokenizer.columns[0].layout.step_sizes):
                index = index * size + tokens[step]
        return {
            id_column.name: id_column.values(seed, index) for id_column in self.tokenizer.id_columns
        }


def load_token_sampler(
    tokenizer: Tokenizer, settings: TableSettings, tensors: Mapping[str, Tensor]
) -> TokenSampler:
    weights = _with_prefix("generator.", tensors)
    if settings.architecture == "gan":
        featurizer = gan_networks.RowFeaturizer(tokenizer)
        gan_generator = gan_networks.Generator(featurizer, settings).eval().requires_grad_(False)
        gan_generator.load_state_dict(weights)
        return gan_networks.GanSampler(gan_generator, featurizer, settings)
    network = build_generator(tokenizer, settings).eval().requires_grad_(False)
    network.load_state_dict(weights)
    return AutoregressiveSampler(network, tokenizer.sub_bin_steps, tokenizer.num_decode_uniforms)


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
