"""Sampler of a trained tabular model.

Row k depends on the model, the condition, the seed and k alone: its random numbers come from (seed,
condition, k), and batches have one fixed shape. With rejection sampling, by a condition or by the
model's critic, row k is the first of its candidates that is accepted.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import UnreadableCheckpoint, weights_of
from models.errors import AcceptanceRateTooLow, IdentifiersExhausted
from models.noise import Indices, attempt_stream, uniforms
from models.permutation import MAX_SIZE
from models.placement import CPU, upload
from models.tabular import tokenizer_tensors
from models.tabular.autoregressive.networks import build_critic, build_generator
from models.tabular.autoregressive.sampler import (
    AutoregressiveSampler,
    TokenSampler,
)
from models.tabular.categorical_columns import Floats, Tokens
from models.tabular.conditions.contradictions import check_conditions
from models.tabular.conditions.plan import ConditionPlan, parse_conditions, plan_conditions
from models.tabular.conditions.possible_rows import PossibleRows
from models.tabular.constraints.declarations import Constraint
from models.tabular.gan import networks as gan_networks
from models.tabular.row_critic import RowCritic
from models.tabular.settings import CONTENT, TableSettings
from models.tabular.tokenizer import Tokenizer

BATCH_SIZE = 1024  # fixed, so that a row does not depend on the number of rows sampled with it
MAX_ATTEMPTS = 2_000  # candidates per row
MAX_LIMITED_ATTEMPTS = 300  # later candidates are accepted although the coding rejects them
MAX_CANDIDATES_PER_ROUND = 64  # per row
MAX_ACCEPTED_SHARES = 1_000  # of conditions, in memory
MAX_POSSIBLE_ROWS = 100  # of conditions, in memory


class RowHashesMissing(Exception):
    """The model does not store the hashes of its training rows."""


@dataclass(frozen=True)
class SampleBatch:
    rows: pa.RecordBatch
    acceptance_rate: float  # accepted share of the candidates

    def __len__(self) -> int:
        return int(self.rows.num_rows)


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
    critic: RowCritic | None  # None: no rejection by the critic
    supports_any_order: bool  # any column can be sampled first
    bytes: int
    batch_size: int = BATCH_SIZE
    _accepted_shares: dict[int, float] = field(default_factory=dict, compare=False, repr=False)
    _possible: dict[int, PossibleRows] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def load(
        cls,
        tensors: Mapping[str, Tensor],
        header: Mapping[str, Any],
        device: torch.device = CPU,
    ) -> Self:
        """Load a model file to a device.

        Raises:
            UnreadableCheckpoint: The file is not a tabular model.
        """
        if header.get("modality") != CONTENT:
            raise UnreadableCheckpoint("The checkpoint is not a tabular model.")
        tokenizer = tokenizer_tensors.from_tensors(header["tokenizer"], tensors)
        settings = TableSettings.from_dict(header["hyperparameters"])
        critic = None
        if weights := weights_of("critic", tensors):
            network = build_critic(tokenizer, settings).to(device).eval().requires_grad_(False)
            network.load_state_dict(weights)
            critic = RowCritic(network, header["always_accept_score"], BATCH_SIZE, device)
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        token_sampler = load_token_sampler(tokenizer, settings, tensors, device)
        supports_any_order = (
            settings.random_order_prob > 0 and settings.architecture == "autoregressive"
        )
        return cls(
            tokenizer,
            token_sampler,
            critic,
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
        identifier_numbers: Indices | None = None,
        exclude_training_rows: bool = False,
    ) -> SampleBatch:
        """Generate one row for each index.

        `conditions` maps columns to what `Condition.parse` accepts (see `plan_conditions`). Where a
        constraint requires unique rows, they differ from each other and from those in `seen`, to
        which they are added. `identifier_numbers` are the indices by default.

        Raises InvalidCondition, RowHashesMissing, IdentifiersExhausted, and AcceptanceRateTooLow
        if some row has no accepted candidate.
        """
        if exclude_training_rows and self.tokenizer.hashes is None:
            raise RowHashesMissing
        self.possible_rows(conditions or {})  # refuses impossible ones before any candidate
        plan = plan_conditions(
            self.tokenizer,
            conditions or {},
            supports_any_order=self.supports_any_order,
            exclude_training_rows=exclude_training_rows,
        )
        unique = self.unique_constraints()
        seen = set() if seen is None else seen
        accepted_values: set[Any] = set()
        own_seed = noise_seed(seed, conditions or {})
        num_rows, done = len(indices), self._no_candidates(len(indices))
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
                    own_seed, indices, part, range(attempt, attempt + num_candidates), plan, done
                )
            attempt += num_candidates
            if unique:
                accepted_values = self._drop_duplicates(done, unique, seen)
        seen |= accepted_values
        acceptance = done.num_accepted / done.num_tried if done.num_tried else 1.0
        if not done.accepted.all():
            raise AcceptanceRateTooLow(
                int(done.accepted.sum()),
                num_rows,
                acceptance,
                _remedy(plan, unique),
                conditions=conditions,
            )
        numbers = indices if identifier_numbers is None else identifier_numbers
        id_values = self.id_values(seed, numbers, done.tokens)
        return SampleBatch(self.tokenizer.decode(done.tokens, done.u, id_values), acceptance)

    def accepted_share(self, conditions: Mapping[str, Any]) -> float:
        """Return the share of a batch of candidates that meet `conditions`, always the same ones.

        Raises InvalidCondition.
        """
        key = noise_seed(0, conditions)  # a number, because conditions may be long
        if (share := self._accepted_shares.get(key)) is not None:
            return share
        self.possible_rows(conditions)
        plan = plan_conditions(
            self.tokenizer,
            conditions,
            supports_any_order=self.supports_any_order,
            exclude_training_rows=False,
        )
        share = 1.0
        if plan.rejection_conditions:
            done = self._no_candidates(self.batch_size)
            every = np.arange(self.batch_size)
            self._try_candidates(0, every, every, range(1), plan, done)
            share = done.num_accepted / done.num_tried
        if len(self._accepted_shares) >= MAX_ACCEPTED_SHARES:
            self._accepted_shares.clear()
        self._accepted_shares[key] = share
        return share

    def possible_rows(self, conditions: Mapping[str, Any]) -> PossibleRows:
        """Return what `conditions` leave of all rows. Raises InvalidCondition if it is nothing."""
        key = noise_seed(0, conditions)
        if (possible := self._possible.get(key)) is not None:
            return possible
        possible = check_conditions(self.tokenizer, parse_conditions(self.tokenizer, conditions))
        if len(self._possible) >= MAX_POSSIBLE_ROWS:
            self._possible.clear()
        self._possible[key] = possible
        return possible

    def _no_candidates(self, num_rows: int) -> _Candidates:
        num_steps = len(self.tokenizer.step_sizes)
        return _Candidates(
            np.zeros((num_steps, num_rows), np.int64),
            np.zeros((self.tokenizer.num_decode_uniforms, num_rows)),
            np.zeros(num_rows, bool),
        )

    def _try_candidates(
        self,
        seed: int,
        indices: Indices,
        pending: NDArray[np.int64],
        attempts: range,
        plan: ConditionPlan,
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
        satisfied, in_limits = (
            mask.reshape(accepted.shape) for mask in self.tokenizer.is_valid(tokens, decode_u)
        )
        is_late = np.array(attempts)[:, None] >= MAX_LIMITED_ATTEMPTS
        accepted &= in_limits | is_late
        accepted &= satisfied | (is_late & (not plan.may_contradict))
        first = accepted.argmax(0)
        has_accepted = accepted.any(0)
        # The acceptance rate ignores candidates after the first accepted one.
        done.num_tried += int(np.where(has_accepted, first + 1, len(attempts)).sum())
        done.num_accepted += int(has_accepted.sum())
        chosen = (first * len(pending) + np.arange(len(pending)))[has_accepted]
        done.tokens[:, pending[has_accepted]] = tokens[:, chosen]
        done.u[:, pending[has_accepted]] = decode_u[:, chosen]
        done.accepted[pending[has_accepted]] = True

    def unique_constraints(self) -> list[Constraint]:
        """Return the `unique` constraints, except on identifiers, which are always unique."""
        ids = self.tokenizer.id_names
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

    def _generate(self, u: Floats, plan: ConditionPlan) -> tuple[Tokens, Floats]:
        """Return (S, M) tokens and (num_decode_uniforms, M) positions in bins.

        Batches have the fixed shape; the last one is padded.
        """
        m = u.shape[1]
        padded = np.full((u.shape[0], -(-m // self.batch_size) * self.batch_size), 0.5, np.float32)
        padded[:, :m] = u
        device = self.token_sampler.device
        allowed = {step: upload(mask, device) for step, mask in plan.allowed.items()}
        batches = [
            self.token_sampler.sample(
                upload(torch.from_numpy(np.ascontiguousarray(part)), device), allowed, plan.order
            )
            for part in np.split(padded, padded.shape[1] // self.batch_size, axis=1)
        ]
        tokens, decode_u = (
            torch.cat(parts, 1).cpu().numpy()[:, :m] for parts in zip(*batches, strict=True)
        )
        return tokens, decode_u.astype(np.float64)

    def _accept(
        self, tokens: Tokens, decode_u: Floats, u: Floats, plan: ConditionPlan
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
            accepted &= u < self.critic.acceptance_prob(tokens)
        return accepted

    def realness(self, rows: pa.RecordBatch) -> Floats:
        """Return the (N,) probabilities of being real by the critic, which the model must have."""
        assert self.critic is not None  # noqa: S101 - required of callers
        return self.critic.realness(self.tokenizer.encode(pa.Table.from_batches([rows]), seed=0))

    def id_values(self, seed: int, numbers: Indices, tokens: Tokens) -> dict[str, pa.Array]:
        """Return the identifiers of the items.

        With a label, item k of each label gets its own identifier.

        Raises:
            IdentifiersExhausted: The numbers are too large.
        """
        first = self.tokenizer.columns[0]
        is_label = first.name == self.tokenizer.target_column
        step_sizes = first.layout.step_sizes if is_label else ()
        if numbers.max(initial=0) >= MAX_SIZE // prod(step_sizes):
            raise IdentifiersExhausted
        index = numbers
        for step, size in enumerate(step_sizes):
            index = index * size + tokens[step]
        return {
            id_column.name: id_column.values(seed, index) for id_column in self.tokenizer.id_columns
        }


def noise_seed(seed: int, conditions: Mapping[str, Any]) -> int:
    """Return the seed of the noise of rows that satisfy `conditions`.

    With the same noise, row k of each label would be nearly the same row in all other columns.
    """
    if not conditions:
        return seed
    text = json.dumps(conditions, sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=8, key=int(seed).to_bytes(8)).digest()
    return int.from_bytes(digest)


def _remedy(plan: ConditionPlan, unique: Sequence[Constraint]) -> str:
    if plan.rejection_conditions or plan.allowed:
        return "Relax the conditions."
    if unique:
        return "Request fewer rows, because a constraint requires unique values."
    if plan.exclude_training_rows:
        return "Omit `exclude_training_rows`, because the model repeats training rows."
    return "Train longer, or remove constraints."


def load_token_sampler(
    tokenizer: Tokenizer,
    settings: TableSettings,
    tensors: Mapping[str, Tensor],
    device: torch.device = CPU,
) -> TokenSampler:
    weights = weights_of("generator", tensors)
    if settings.architecture == "gan":
        featurizer = gan_networks.RowFeaturizer(tokenizer).to(device)
        gan_generator = gan_networks.Generator(featurizer, settings).to(device)
        gan_generator.eval().requires_grad_(False)
        gan_generator.load_state_dict(weights)
        return gan_networks.GanSampler(gan_generator, featurizer, settings)
    network = build_generator(tokenizer, settings).to(device).eval().requires_grad_(False)
    # The first models had no attention: all earlier steps had the same weight.
    network.load_state_dict({"attention_offsets": network.attention_offsets} | weights)
    return AutoregressiveSampler(
        network,
        tokenizer.sub_bin_steps,
        tokenizer.num_decode_uniforms,
        tokenizer.exclusions,
        tokenizer.joint_masks,
        tokenizer.sampled_columns,
    )
