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
from models.noise import NOISE, Indices, stream_of, uniforms
from models.rarity import TooRare
from models.tables import mlp
from models.tables.columns import CategoryColumn, Column, Floats, Tokens
from models.tables.conditions import CannotComplete, Condition, InvalidCondition
from models.tables.encoding import Encoding
from models.tables.generation import UNKNOWN, Allowed, RowMaker, Stepper
from models.tables.known import Known
from models.tables.networks import Critic, critic_of, generator_of
from models.tables.rules import Rule
from models.tables.settings import TableSettings

BATCH = 1024  # one fixed shape: a row does not depend on how many are drawn with it
ATTEMPTS = 2_000  # candidates for one row, at most
AT_ONCE = 64  # candidates for one row in one round
PARTICLES = 32  # candidates for the completion of one row
COMPLETIONS = 50  # of a row, until one keeps to the rules


class NoHashes(Exception):
    """A model that does not know which rows it was made from."""


@dataclass(frozen=True)
class Drawn:
    rows: pa.RecordBatch
    acceptance: float  # share of the candidates that were kept


@dataclass(frozen=True)
class _Plan:
    """How conditions are met: by the tokens that may be drawn at some steps, made in this order
    (None: as always), and by choosing for what these leave open."""

    allowed: Allowed
    order: list[int] | None
    choosing: list[Condition]
    refuse_copies: bool


@dataclass
class _Candidates:
    """Rows so far, in the order of the items."""

    tokens: Tokens  # (S, N)
    u: Floats  # (draws, N)
    found: NDArray[np.bool_]  # (N,)
    tried: int = 0
    kept: int = 0


@dataclass(frozen=True)
class RowSampler:
    encoding: Encoding
    maker: RowMaker
    critic: Critic | None  # None: every row is kept
    kept_from: float  # the critic's score from which on every row is kept
    any_order: bool  # whether any column may be made first
    bytes: int
    batch: int = BATCH

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """Raises UnreadableCheckpoint when the file holds no model of rows."""
        if header.get("kind") != "rows":
            raise UnreadableCheckpoint("not a model of table rows")
        encoding = Encoding.of_tensors(header["encoding"], tensors)
        settings = TableSettings.from_dict(header["config"])
        critic = None
        if weights := _under("critic.", tensors):
            critic = critic_of(encoding, settings).eval().requires_grad_(False)
            critic.load_state_dict(weights)
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        maker = maker_of(encoding, settings, tensors)
        any_order = settings.any_order > 0 and settings.architecture == "auto"
        return cls(encoding, maker, critic, header.get("kept_from", 0.0), any_order, size)

    def draw(
        self,
        seed: int,
        items: Indices,
        given: Mapping[str, Any] | None = None,
        seen: set[Any] | None = None,
        *,
        refuse_copies: bool = False,
    ) -> Drawn:
        """A row for each item. `given` says by column what every row must have, as
        `Condition.parse` reads it. What is asked of the label, or, after training in any order, of
        any columns of which at most one is left a choice, is met directly; the rest is met by
        choosing among candidates. Where a rule wants rows to be unique, they are among themselves
        and those of `seen`, which they join.

        Raises InvalidCondition, NoHashes, and TooRare when some row has no candidate to keep.
        """
        if refuse_copies and self.encoding.hashes is None:
            raise NoHashes
        plan = replace(self._plan(self._conditions(given or {})), refuse_copies=refuse_copies)
        unique = self._unique()
        seen = set() if seen is None else seen
        taken: set[Any] = set()
        n, s = len(items), len(self.encoding.sizes)
        done = _Candidates(
            np.zeros((s, n), np.int64), np.zeros((self.encoding.draws, n)), np.zeros(n, bool)
        )
        attempt = 0
        while not done.found.all() and attempt < ATTEMPTS:
            pending = np.flatnonzero(~done.found)
            # The first round tells how many candidates a row takes.
            at_once = 1 if attempt == 0 else int(np.clip(self.batch // len(pending), 1, AT_ONCE))
            for part in np.array_split(pending, -(-len(pending) * at_once // (64 * self.batch))):
                self._try(seed, items, part, range(attempt, attempt + at_once), plan, done)
            attempt += at_once
            if unique:
                taken = self._drop_repeated(done, unique, seen)
        seen |= taken
        acceptance = done.kept / done.tried if done.tried else 1.0
        if not done.found.all():
            raise TooRare(int(done.found.sum()), n, acceptance)
        names = self._names(seed, items, done.tokens)
        return Drawn(self.encoding.decode(done.tokens, done.u, names), acceptance)

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
        size = self.maker.size + (self.critic is not None)
        u = np.concatenate(
            [uniforms(seed, items[pending], size, stream_of(attempt)) for attempt in attempts]
        ).T
        tokens, places = self._made(u[: self.maker.size], plan)
        kept = self._kept(tokens, places, u[-1], plan).reshape(len(attempts), len(pending))
        first = kept.argmax(0)
        found = kept.any(0)
        # Candidates behind the first that was kept were not needed.
        done.tried += int(np.where(found, first + 1, len(attempts)).sum())
        done.kept += int(found.sum())
        chosen = (first * len(pending) + np.arange(len(pending)))[found]
        done.tokens[:, pending[found]] = tokens[:, chosen]
        done.u[:, pending[found]] = places[:, chosen]
        done.found[pending[found]] = True

    def _unique(self) -> list[Rule]:
        """Identifiers are unique as they are."""
        ids = {identifier.name for identifier in self.encoding.identifiers}
        rules = [rule for rule in self.encoding.rules if rule.kind == "unique"]
        return [rule for rule in rules if not ids & set(rule.columns)]

    def _drop_repeated(self, done: _Candidates, unique: Sequence[Rule], seen: set[Any]) -> set[Any]:
        """Rows that are like one before them have to be found again. What those that stay are, so
        that none becomes like them; missing values are like nothing."""
        places = np.flatnonzero(done.found)
        rows = self.encoding.decode(done.tokens[:, places], done.u[:, places])
        taken = set(seen)
        for number, rule in enumerate(unique):
            values = [rows.column(name).to_pylist() for name in rule.columns]
            for place, value in zip(places, zip(*values, strict=True), strict=True):
                if None in value or not done.found[place]:
                    continue
                if (number, value) in taken:
                    done.found[place] = False
                    done.kept -= 1
                taken.add((number, value))
        return taken

    def complete(self, seed: int, items: Indices, known: Known) -> Drawn:
        """A row for each item with what is known of it, value by value as it was given, and the
        rest drawn from what the model makes of that. Rules are kept but for those of unique rows;
        the critic has no say.

        Raises CannotComplete, and TooRare when what is known of some row goes with no rule.
        """
        if not isinstance(self.maker, Stepper):
            raise CannotComplete
        given = known.tokens
        tokens = np.zeros_like(given)
        particles = 1 if self.any_order else PARTICLES
        places = np.ascontiguousarray(uniforms(seed, items, self.maker.size, NOISE).T[len(given) :])
        pending, tried = np.arange(len(items)), 0
        for attempt in range(COMPLETIONS):
            first = attempt * (particles + 1)  # of the streams of random numbers
            for mine, order in self._told_first(given[:, pending]):
                index = pending[mine]
                tokens[:, index] = self._completed(
                    seed, items[index], given[:, index], range(first, first + particles), order
                )
            tried += len(pending)
            names = self._names(seed, items, tokens)
            rows = known.put_into(self.encoding.decode(tokens, places, names))
            pending = np.flatnonzero(~self.encoding.keeps_rules(tokens, rows))
            if not len(pending):
                return Drawn(rows, len(items) / (tried * particles))
        raise TooRare(len(items) - len(pending), len(items), len(items) / (tried * particles))

    def _told_first(self, given: Tokens) -> list[tuple[NDArray[np.int64], list[int] | None]]:
        """(S, N) tokens to the rows that are made in one order, and that order: the columns that
        are given come first where they can."""
        if not self.any_order:
            return [(np.arange(given.shape[1]), None)]
        told = given[[steps.start for steps in self.encoding.steps]] != UNKNOWN
        patterns, which = np.unique(told, axis=1, return_inverse=True)
        names = np.array([column.name for column in self.encoding.columns], object)
        return [
            (np.flatnonzero(which.reshape(-1) == i), self.encoding.steps_of(list(names[pattern])))
            for i, pattern in enumerate(patterns.T)
        ]

    def _completed(
        self, seed: int, items: Indices, given: Tokens, streams: range, order: list[int] | None
    ) -> Tokens:
        """(S, N). One fixed shape: a row does not depend on those that are completed with it."""
        assert isinstance(self.maker, Stepper)  # noqa: S101 - `complete` has looked
        size, n = given.shape
        at_once = self.batch // len(streams)
        tokens = np.empty_like(given)
        for part in np.array_split(np.arange(n), range(at_once, n, at_once)):
            filled = np.pad(part, (0, at_once - len(part)), mode="edge")
            of_item = items[filled]
            parts = [uniforms(seed, of_item, size, stream_of(i)).T for i in streams]
            u = np.concatenate(parts, axis=1).astype(np.float32)
            pick = uniforms(seed, of_item, size + 1, stream_of(streams.stop)).T
            made = self.maker.complete(
                torch.from_numpy(u),
                torch.from_numpy(np.ascontiguousarray(pick)),
                torch.from_numpy(given[:, filled]),
                order,
            )
            tokens[:, part] = made.numpy()[:, : len(part)]
        return tokens

    def _made(self, u: Floats, plan: _Plan) -> tuple[Tokens, Floats]:
        """(S, M) tokens and (draws, M) places in bins, in batches of the fixed shape,
        the last of them filled up."""
        m = u.shape[1]
        filled = np.full((u.shape[0], -(-m // self.batch) * self.batch), 0.5, np.float32)
        filled[:, :m] = u
        made = [
            self.maker.make(torch.from_numpy(np.ascontiguousarray(part)), plan.allowed, plan.order)
            for part in np.split(filled, filled.shape[1] // self.batch, axis=1)
        ]
        tokens, places = (torch.cat(parts, 1).numpy()[:, :m] for parts in zip(*made, strict=True))
        return tokens, places.astype(np.float64)

    def _kept(self, tokens: Tokens, places: Floats, u: Floats, plan: _Plan) -> NDArray[np.bool_]:
        """(M,), by the conditions and by the critic's chance `u` (M,)."""
        kept = np.ones(tokens.shape[1], bool)
        if plan.choosing or self.encoding.rules or plan.refuse_copies:
            rows = self.encoding.decode(tokens, places)
            kept &= self.encoding.keeps_rules(tokens, rows)
            if plan.refuse_copies:
                kept &= ~self.encoding.is_copy(rows)
            for condition in plan.choosing:
                kept &= condition.holds(rows.column(condition.column))
        if self.critic is not None:
            kept &= u < self._favour(tokens)
        return kept

    @torch.inference_mode()
    def _favour(self, tokens: Tokens) -> Floats:
        """How likely a row is to be kept: as much as the critic takes it for real rather than made
        (Azadi et al. 2019, 1810.06758)."""
        assert self.critic is not None  # noqa: S101 - asked for only with a critic
        m = tokens.shape[1]
        filled = np.zeros((tokens.shape[0], -(-m // self.batch) * self.batch), np.int64)
        filled[:, :m] = tokens
        scores = torch.cat(
            [self.critic(part) for part in torch.from_numpy(filled).split(self.batch, dim=1)]
        )
        return np.exp(np.minimum(scores[:m].double().numpy() - self.kept_from, 0.0))

    def _conditions(self, given: Mapping[str, Any]) -> list[Condition]:
        learned = {column.name for column in self.encoding.columns}
        for name in given:
            if name not in learned:
                raise InvalidCondition(name, "is no column that was learned")
        schema = self.encoding.arrow
        return [Condition.parse(schema.field(name), wanted) for name, wanted in given.items()]

    def _plan(self, conditions: list[Condition]) -> _Plan:
        """Raises InvalidCondition where no token can meet what is asked of a column."""
        masks = {condition.column: self._masks(condition) for condition in conditions}
        first = [c for c in conditions if c.column == self.encoding.columns[0].name]
        if self.any_order:
            # Several choices, one after the other, would not weigh each other.
            first = [c for c in conditions if all(m.sum() == 1 for m in masks[c.column])]
            first += [c for c in conditions if c not in first][:1]
        allowed: dict[int, Tensor] = {}
        for condition in first:
            start = self.encoding.steps[self._number(condition.column)].start
            allowed |= enumerate(masks[condition.column], start)
        names = [condition.column for condition in first]
        return _Plan(
            allowed,
            self.encoding.steps_of(names) if self.any_order and names else None,
            [c for c in conditions if c not in first or not self._is_whole(c)],
            refuse_copies=False,
        )

    def _number(self, name: str) -> int:
        return next(i for i, column in enumerate(self.encoding.columns) if column.name == name)

    def _is_whole(self, condition: Condition) -> bool:
        """Whether tokens that are allowed meet the condition without any choosing."""
        column = self.encoding.columns[self._number(condition.column)]
        return column.layout.groups == 0 or self._one_name(condition)

    def _one_name(self, condition: Condition) -> bool:
        values = condition.values
        column = self.encoding.columns[self._number(condition.column)]
        return (
            isinstance(column, CategoryColumn)
            and values is not None
            and len(values) == 1
            and values[0].is_valid
        )

    def _masks(self, condition: Condition) -> list[Tensor]:
        """The tokens of the column's steps that can meet what is asked of it."""
        column = self.encoding.columns[self._number(condition.column)]
        if isinstance(column, CategoryColumn) and column.layout.groups:
            masks = self._name_masks(column, condition)
        else:
            masks = [self._first_mask(column, condition)]
        if not masks[0].any():
            raise InvalidCondition(column.name, "no row that was learned from meets it")
        return masks

    def _first_mask(self, column: Column, condition: Condition) -> Tensor:
        layout = column.layout
        first = np.arange(layout.sizes[0])
        low = np.stack([first, *(np.full(len(first), 1) for _ in layout.digits)])
        high = np.stack([first, *(np.full(len(first), size) for size in layout.digits)])
        met = condition.holds(column.decode(low, np.zeros(len(first))))
        if groups := np.flatnonzero(layout.grouped(first)).tolist():
            ends = (
                column.decode(tokens[:, groups], np.full(len(groups), u))
                for tokens, u in ((low, 0.0), (high, 1.0))
            )
            met[groups] = condition.may_hold(*ends)
        return torch.from_numpy(met)

    def _name_masks(self, column: CategoryColumn, condition: Condition) -> list[Tensor]:
        """The groups of the names that are wanted; of a single name, its digits too."""
        names = column.decode_names()
        met = names.filter(pa.array(condition.holds(names)))
        tokens = column.encode(met, np.random.default_rng(0))
        masks = [torch.zeros(size, dtype=torch.bool) for size in column.layout.sizes]
        for mask, step in zip(masks, tokens, strict=True):
            mask[torch.from_numpy(step)] = True
        if column.layout.missing:
            masks[0][-1] = bool(condition.holds(pa.nulls(1, column.arrow))[0])
        return masks if self._one_name(condition) else masks[:1]

    def _names(self, seed: int, items: Indices, tokens: Tokens) -> dict[str, pa.Array]:
        """Identifiers: with labels, item k of each label has its own."""
        index = items
        if self.encoding.columns[0].name == self.encoding.label:
            for step, size in enumerate(self.encoding.columns[0].layout.sizes):
                index = index * size + tokens[step]
        return {i.name: i.values(seed, index) for i in self.encoding.identifiers}


def maker_of(
    encoding: Encoding, settings: TableSettings, tensors: Mapping[str, Tensor]
) -> RowMaker:
    weights = _under("generator.", tensors)
    if settings.architecture == "mlp":
        parts = mlp.Parts(encoding)
        whole = mlp.Generator(parts, settings).eval().requires_grad_(False)
        whole.load_state_dict(weights)
        return mlp.NoiseMaker(whole, parts, settings)
    network = generator_of(encoding, settings).eval().requires_grad_(False)
    network.load_state_dict(weights)
    return Stepper(network, encoding.digits, encoding.draws)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
