"""Preparation of a tabular training run: rows that satisfy the constraints, and their tokenizer."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.constraints.checks import satisfies
from models.tabular.constraints.declarations import Constraint
from models.tabular.data import LabeledRows
from models.tabular.relations.coded_columns import BoundedColumn
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.dates.learned_parts import find_parts, with_parts
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.exceptions_search import find_with_exceptions
from models.tabular.relations.kinds import NOT_DETERMINING
from models.tabular.relations.lookups.learned import learn_lookups
from models.tabular.relations.near.close_columns import CloseColumn, with_chains
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.near.detection import (
    MIN_RATIOS_GAIN_BITS,
    find_near_columns,
    saved_bits,
)
from models.tabular.relations.planning import independent_relations, plan_coding
from models.tabular.relations.relation import Relation
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.search import find_joined_texts
from models.tabular.schema import UnsupportedColumn
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer
from models.training_callbacks import TrainingCallbacks


def constraints_from_settings(settings: TableSettings) -> list[Constraint]:
    return [Constraint.from_dict(constraint) for constraint in settings.constraints]


def filter_rows(
    rows: LabeledRows, settings: TableSettings, callbacks: TrainingCallbacks
) -> LabeledRows:
    """Drop the rows that violate a constraint. Raises UnsupportedColumn if none is left."""
    constraints = constraints_from_settings(settings)
    total = len(rows.train) + len(rows.holdout)
    rows = replace(
        rows,
        train=_satisfying(rows, rows.train, constraints),
        holdout=_satisfying(rows, rows.holdout, constraints),
    )
    violating = total - len(rows.train) - len(rows.holdout)
    if not len(rows.train):
        raise UnsupportedColumn(
            constraints[0].columns[0], "no row satisfies the declared constraints"
        )
    if violating:
        callbacks.warn(
            0,
            f"{violating} of {total} rows violate a constraint and are not used for training.",
            "rows_violate_constraints",
        )
    return rows


def _satisfying(
    rows: LabeledRows, index: NDArray[np.int64], constraints: list[Constraint]
) -> NDArray[np.int64]:
    mask = np.ones(len(index), bool)
    for constraint in constraints:
        names = [*constraint.columns, *([] if constraint.total is None else [constraint.total])]
        mask &= satisfies(constraint, rows.table.select(names).take(pa.array(index)))
    return index[mask]


@dataclass(frozen=True)
class RelationPlan:
    """The relations that hold in all training rows, and the coding that keeps some of them.

    `joined_texts` are identifiers that consist of other columns. `names` are those of all
    relations, including the ones that follow from others.
    """

    relations: tuple[Relation, ...]
    coding: RelationCoding
    joined_texts: tuple[JoinedText, ...]
    names: frozenset[str]

    def describe(self) -> list[dict[str, Any]]:
        """Return the relations for clients; samples satisfy those that are `enforced`.

        The near relations by which columns are coded follow.
        """
        enforced = list(self.coding.relations)
        shown = enforced + [relation for relation in self.relations if relation not in enforced]
        exact = [{**relation.to_dict(), "enforced": relation in enforced} for relation in shown]
        coding = self.coding
        inexact: list[NearColumn | CloseColumn | Relation] = [*coding.near.values()]
        inexact += [*coding.close.values(), *coding.with_exceptions]
        near = [{**each.to_dict(), "enforced": False} for each in inexact]
        near += [
            {"name": part, "kind": "learned_part", "columns": [date.name], "enforced": False}
            for part, date in coding.parts.items()
        ]
        return exact + near + [{**j.to_dict(), "enforced": True} for j in self.joined_texts]


def plan_relations(rows: LabeledRows, settings: TableSettings) -> RelationPlan:
    """Detect the relations of the training rows.

    The orders in declared constraints are relations, too, even if chance could explain them.
    """
    constraints = constraints_from_settings(settings)
    table = rows.take(rows.train)
    # Their combinations are checked by tokens, so these columns are not coded.
    fixed = {name for c in constraints if c.kind == "fixed_combinations" for name in c.columns}
    if rows.target_column is not None:
        fixed.add(rows.target_column)
    types = {column.name: column.type for column in rows.schema if column.in_samples}
    texts = find_joined_texts(table, types, fixed, min_value_count=settings.min_value_count)
    # Without a part that is drawn, a joined text may repeat.
    unique = {name for c in constraints if c.kind == "unique" for name in c.columns}
    texts = [text for text in texts if text.has_rest or text.column not in unique]
    joined = enabled(texts, settings.relations)
    left_out = {text.column for text in joined} | {constraint.total for constraint in constraints}
    types = {name: type for name, type in types.items() if type != "id" and name not in left_out}
    relations = detect_relations(table, types, min_value_count=settings.min_value_count)
    declared = [
        Relation("order", pair)
        for constraint in constraints
        if constraint.kind == "inequality"
        for pair in pairwise(constraint.columns)
    ]
    relations += [r for r in declared if r.name not in {other.name for other in relations}]
    names = {relation.name for relation in relations} | {text.name for text in texts}
    kept = enabled(relations, settings.relations)
    plan = partial(plan_coding, has_masks=settings.architecture == "autoregressive")
    near: list[NearColumn | CloseColumn] = []
    inexact: list[Relation] = []
    ignored = settings.relations if isinstance(settings.relations, list) else ()
    if settings.relations is not False and not settings.min_value_count:
        coded = plan(kept, table, fixed).determined.union(fixed)
        inexact = find_with_exceptions(table, types, relations, coded)
        names |= {relation.name for relation in inexact}
        inexact = enabled(inexact, settings.relations)
        totals = {each.last for each in inexact if each.kind not in NOT_DETERMINING}
        near = _near_columns(plan, kept, table, types, totals.union(fixed))
        names |= {column.relation_name for column in near}
        near = [column for column in near if column.relation_name not in ignored]
        if settings.architecture == "autoregressive":  # only there, tokens may follow from others
            near = with_chains(near, table.column_names)
    coding = plan(kept, table, fixed, near, inexact)
    if settings.relations is not False and not settings.min_value_count:
        whole = set(fixed)
        if settings.architecture == "gan":  # it samples parts at once, and any of them as missing
            whole |= {name for name in table.column_names if table.column(name).null_count}
        parts = find_parts(coding, table, types, whole)
        names |= {name for column in parts for name in column.part_names}
        coding = with_parts(coding, [column.without(ignored) for column in parts])
    if not settings.min_value_count:  # the limits are values of single rows
        coding = coding.with_limits(table)
        if settings.architecture == "autoregressive":
            coding = learn_lookups(coding, table, types, fixed)
    return RelationPlan(
        tuple(independent_relations(relations, table)),
        coding,
        tuple(joined),
        frozenset(names),
    )


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Named = TypeVar("Named", bound=_Named)


def enabled(relations: Sequence[Named], setting: bool | list[str]) -> list[Named]:
    """Return the relations that the hyperparameter `relations` does not switch off."""
    if isinstance(setting, bool):
        return list(relations) if setting else []
    return [relation for relation in relations if relation.name not in setting]


def _near_columns(
    plan: Callable[..., RelationCoding],
    relations: Sequence[Relation],
    table: pa.Table,
    types: Mapping[str, str],
    fixed: Collection[str],
) -> list[NearColumn | CloseColumn]:
    """Return the near relations between columns that `relations` do not code.

    Columns that others bound have ratios instead of differences where that saves enough bits.
    """
    exact = plan(relations, table, fixed)
    bounded = {column.name for column in exact.columns if isinstance(column, BoundedColumn)}
    near = find_near_columns(table, types, exact.names.union(fixed), (), exact.learned)
    if not bounded:
        return near
    coded = (exact.names - bounded).union(fixed)
    ratios = find_near_columns(table, types, coded, bounded, exact.learned)
    with_bounds, with_ratios = (
        saved_bits(table, plan(relations, table, fixed, columns).columns)
        for columns in (near, ratios)
    )
    # With ratios in a separate column, the number itself is still learned.
    is_learned = any(isinstance(c, CloseColumn) and c.is_proportional for c in ratios)
    least = 0.0 if is_learned else MIN_RATIOS_GAIN_BITS
    return ratios if with_ratios > with_bounds + least else near


def fit_tokenizer(
    rows: LabeledRows,
    relations: RelationPlan,
    settings: TableSettings,
    callbacks: TrainingCallbacks,
    seed: int,
) -> Tokenizer:
    """Fit a tokenizer to the training rows, which codes some of their relations."""
    ignored = settings.relations if isinstance(settings.relations, list) else []
    for name in sorted(set(ignored) - relations.names):
        similar = get_close_matches(name, relations.names, n=1)
        hint = f" Did you mean {similar[0]!r}?" if similar else ""
        callbacks.warn(
            0,
            f"No relation is named {name!r}, so `relations` does not ignore it.{hint}",
            "unknown_relation",
        )
    tokenizer = Tokenizer.fit(
        rows.take(rows.train),
        rows.schema,
        target_column=rows.target_column,
        seed=seed,
        always_sub_bins=settings.architecture == "gan",
        constraints=constraints_from_settings(settings),
        min_value_count=settings.min_value_count,
        coding=relations.coding,
        joined_texts=relations.joined_texts,
    )
    if not settings.store_row_hashes:
        return tokenizer
    return tokenizer.with_row_hashes(rows.take(np.union1d(rows.train, rows.holdout)))
