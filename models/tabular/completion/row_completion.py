"""Completion of partial rows: given values are unchanged, the others are sampled given them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.errors import AcceptanceRateTooLow
from models.noise import Indices, attempt_stream, uniforms
from models.placement import upload
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.categorical_columns import Floats, Tokens
from models.tabular.completion.consistent_tokens import consistent_tokens, follow_from_others
from models.tabular.completion.given_columns import follows_from_known_keys
from models.tabular.completion.key_values import given_exceptions_hold
from models.tabular.completion.late_tokens import late_tokens, partly_given_values
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.conditions.condition import CompletionUnsupported
from models.tabular.conditions.weights import ConditionedRows, condition_weights, product_of
from models.tabular.relations.coding import RelationCoding
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.sampling import SampleBatch, TableSampler

NUM_PARTICLES = 32  # per row to complete
CONDITION_PARTICLES = 256  # the same of a condition, which may leave few of them
ALL_ROUNDS = 6  # in which each pending row gets one candidate; later ones try few rows
MAX_PARTICLES = 51_200  # of all candidates of a row
MIN_CANDIDATES, MAX_CANDIDATES_PER_ROUND = 8, 64  # per row of the later rounds, and of any


def complete_rows(
    sampler: TableSampler,
    seed: int,
    indices: Indices,
    partial_rows: PartialRows,
    *,
    noise_seed: int | None = None,
    identifier_numbers: Indices | None = None,
    conditioned: ConditionedRows | None = None,
) -> SampleBatch:
    """Complete partial rows, which also meet the conditions of `conditioned`.

    Constraints are satisfied, except `unique`. The critic does not reject rows. `noise_seed` is
    `seed` by default, and `identifier_numbers` are the indices.

    Raises:
        CompletionUnsupported: The model generates a row at once.
        AcceptanceRateTooLow: No completion of some row satisfies the constraints.
    """
    if not isinstance(sampler.token_sampler, AutoregressiveSampler):
        raise CompletionUnsupported
    given = partial_rows.tokens
    num_other_uniforms = sampler.token_sampler.num_uniforms - len(given)
    tokens, decode_u = np.zeros_like(given), np.zeros((num_other_uniforms, len(indices)))
    # Given values come first and need one particle, unless they are coded by values that are not.
    are_first = sampler.supports_any_order and not sampler.tokenizer.coding.near
    is_exact = are_first & ~follow_from_others(sampler.tokenizer, partial_rows)
    num_tried, num_particles = 0, NUM_PARTICLES
    if conditioned is not None:
        is_exact, num_particles = np.zeros_like(is_exact), CONDITION_PARTICLES
    for particles, mask in ((1, is_exact), (num_particles, ~is_exact)):
        if len(part := np.flatnonzero(mask)):
            tokens[:, part], decode_u[:, part], tried = _complete_tokens(
                sampler,
                seed if noise_seed is None else noise_seed,
                indices[part],
                partial_rows.take(part),
                particles,
                conditioned,
            )
            num_tried += tried
    numbers = indices if identifier_numbers is None else identifier_numbers
    rows, _ = _decode(sampler, seed, numbers, partial_rows, tokens, decode_u)
    return SampleBatch(rows, len(indices) / num_tried)


def _complete_tokens(
    sampler: TableSampler,
    seed: int,
    indices: Indices,
    partial_rows: PartialRows,
    particles: int,
    conditioned: ConditionedRows | None,
) -> tuple[Tokens, Floats, int]:
    """Return (S, N) tokens that complete partial rows, their uniforms, and the particles tried.

    Raises:
        AcceptanceRateTooLow: No completion of some row satisfies the constraints.
    """
    given, coding = partial_rows.tokens, sampler.tokenizer.coding
    num_uniforms = sampler.token_sampler.num_uniforms
    tokens, decode_u = np.zeros_like(given), np.zeros((num_uniforms - len(given), len(indices)))
    pending, num_tried = np.arange(len(indices)), np.zeros(len(indices), np.int64)
    max_attempts = MAX_PARTICLES // max(particles, NUM_PARTICLES)
    while len(pending) and num_tried[pending].max() < max_attempts:
        tried_rows, most = pending, MAX_CANDIDATES_PER_ROUND
        if not num_tried[pending[0]]:  # the first round shows how many rows need more candidates
            most = 1
        elif num_tried[pending[0]] >= ALL_ROUNDS:
            # An impossible row ends the request: its candidates come before those of later rows.
            tried_rows = pending[: max(1, sampler.batch_size // (particles * MIN_CANDIDATES))]
        places = sampler.batch_size // (particles * len(tried_rows))
        num_candidates = int(np.clip(places, 1, most))
        row_index = np.tile(tried_rows, num_candidates)
        attempts = num_tried[row_index] + np.repeat(np.arange(num_candidates), len(tried_rows))
        streams = attempts * (particles + 1)
        u = uniforms(seed, indices[row_index], num_uniforms, attempt_stream(streams))
        candidate_u = np.ascontiguousarray(u.T[len(given) :])
        candidates = np.zeros((len(given), len(row_index)), np.int64)
        for members, order in _given_columns_first(sampler, given[:, row_index]):
            index = row_index[members]
            candidates[:, members] = _complete_batch(
                sampler,
                seed,
                indices[index],
                partial_rows.take(index),
                candidate_u[:, members],
                streams[members],
                particles,
                order,
                conditioned,
            )
        num_tried[tried_rows] += num_candidates
        rows, is_valid = _decode(
            sampler,
            seed,
            indices[row_index],
            partial_rows.take(row_index),
            candidates,
            candidate_u,
            attempts,
        )
        is_valid &= ~_has_odd_gap(sampler, given[:, row_index], candidates)
        for condition in () if conditioned is None else conditioned.conditions:
            is_valid &= condition.matches(rows.column(condition.column))
        is_valid = is_valid.reshape(num_candidates, len(tried_rows))
        first, is_done = is_valid.argmax(0), is_valid.any(0)
        chosen = (first * len(tried_rows) + np.arange(len(tried_rows)))[is_done]
        tokens[:, tried_rows[is_done]] = candidates[:, chosen]
        decode_u[:, tried_rows[is_done]] = candidate_u[:, chosen]
        pending = pending[~np.isin(pending, tried_rows[is_done])]
    if not len(pending):
        return tokens, decode_u, int(num_tried.sum()) * particles
    accepted = len(indices) - len(pending)
    names = [
        name
        for name, mask in partial_rows.given.items()
        if mask[pending[0]] and name not in coding.dates
    ]
    remedy = f"Sample {indices[pending[0]]} cannot be completed: {_impossible(coding, names)}"
    rate = accepted / (num_tried.sum() * particles)
    raise AcceptanceRateTooLow(
        accepted, len(indices), rate, remedy, partial_row=int(indices[pending[0]])
    )


def _has_odd_gap(sampler: TableSampler, given: Tokens, tokens: Tokens) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows with a given missing value next to a token it never meets.

    Missing values may be so rare that hardly any particle has the tokens that they meet.
    """
    tokenizer = sampler.tokenizer
    columns = zip(tokenizer.columns, tokenizer.column_slices, strict=True)
    gaps = {s.start: c.layout.missing_token for c, s in columns if c.layout.missing}
    mask = np.zeros(tokens.shape[1], bool)
    for (a, b), may_meet in tokenizer.exclusions.zeros.may_meet.items():
        is_gap = np.zeros_like(mask)
        for step in (a, b):
            if step in gaps:
                is_gap |= given[step] == gaps[step]
        if is_gap.any():
            mask |= is_gap & ~may_meet[tokens[a], tokens[b]]
    return mask


def _impossible(coding: RelationCoding, names: Sequence[str]) -> str:
    """Return why given values of columns are impossible, and the remedy, for an error message."""
    because = [
        f"`{relation.name}`" for relation in coding.relations if relation.table_columns[-1] in names
    ]
    reason = f", because {' and '.join(because)}" if because else ""
    if len(names) == 1:
        return f"its value of `{names[0]}` is impossible or very rare{reason}. Change it."
    listed = ", ".join(f"`{name}`" for name in names)
    return (
        f"its values of {listed} contradict each other or are very rare together{reason}. Leave "
        "some of them out, or change them."
    )


def _decode(
    sampler: TableSampler,
    seed: int,
    indices: Indices,
    partial_rows: PartialRows,
    tokens: Tokens,
    decode_u: Floats,
    attempts: NDArray[np.int64] | float = np.inf,
) -> tuple[pa.RecordBatch, NDArray[np.bool_]]:
    """Return the rows of (S, N) tokens that complete partial rows, and the mask of valid ones.

    See `PartialRows.decode` for `attempts`.
    """
    coding = sampler.tokenizer.coding
    id_values = sampler.id_values(seed, indices, tokens)
    coded = sampler.tokenizer.decode_columns(tokens, decode_u, id_values)
    rows, agrees = partial_rows.decode(sampler.tokenizer, coded, attempts)
    is_valid = agrees & sampler.tokenizer.satisfies_constraints(tokens, rows)
    given = partial_rows.given
    is_valid &= coding.satisfied(rows) & follows_from_known_keys(coding, rows, given)
    is_valid &= given_exceptions_hold(sampler.tokenizer, rows, given)
    return rows, is_valid & coding.is_plausible(rows, given)


def _given_columns_first(
    sampler: TableSampler, given: Tokens
) -> list[tuple[NDArray[np.int64], list[int] | None]]:
    """Group (S, N) tokens by sampling order: (indices of the rows, order) of each group.

    The given columns come first, if the model supports any order.
    """
    if not sampler.supports_any_order:
        return [(np.arange(given.shape[1]), None)]
    tokenizer = sampler.tokenizer
    is_given = given[[steps.start for steps in tokenizer.column_slices]] != UNKNOWN_TOKEN
    patterns, pattern_index = np.unique(is_given, axis=1, return_inverse=True)
    column_names = np.array([column.name for column in tokenizer.columns], object)
    return [
        (
            np.flatnonzero(pattern_index.reshape(-1) == i),
            tokenizer.steps_in_order(list(column_names[pattern])),
        )
        for i, pattern in enumerate(patterns.T)
    ]


def _complete_batch(
    sampler: TableSampler,
    seed: int,
    indices: Indices,
    partial_rows: PartialRows,
    decode_u: Floats,
    first_streams: NDArray[np.int64],
    particles: int,
    order: list[int] | None,
    conditioned: ConditionedRows | None,
) -> Tokens:
    """Return (S, N) completed tokens.

    `first_streams` (N,) are the streams of the first particle of each row; the others follow.
    Batches have one fixed shape, so a row does not depend on those completed with it.
    """
    assert isinstance(sampler.token_sampler, AutoregressiveSampler)  # noqa: S101 - see `complete_rows`
    size, n = partial_rows.tokens.shape
    rows_per_batch = sampler.batch_size // particles
    tokens = np.empty_like(partial_rows.tokens)
    for part in np.array_split(np.arange(n), range(rows_per_batch, n, rows_per_batch)):
        padded = np.pad(part, (0, rows_per_batch - len(part)), mode="edge")
        batch_indices, members = indices[padded], partial_rows.take(padded)
        streams = first_streams[padded]
        particle_streams = (streams + np.arange(particles)[:, None]).ravel()
        repeated = np.tile(batch_indices, particles)
        u = uniforms(seed, repeated, size, attempt_stream(particle_streams)).T
        u = np.ascontiguousarray(u, np.float32)
        last_streams = attempt_stream(streams + particles)
        resampling_u = uniforms(seed, batch_indices, size + 1, last_streams).T
        device, own_u = sampler.token_sampler.device, decode_u[:, padded]
        values = None
        if sampler.token_sampler.computes_tokens:
            values = partly_given_values(sampler.tokenizer, members, own_u, particles)
        weights = consistent_tokens(sampler.tokenizer, members, own_u, order)
        if conditioned is not None:
            weights = product_of(
                weights,
                condition_weights(sampler.tokenizer, conditioned, members, own_u, order, device),
            )
        completed = sampler.token_sampler.complete(
            upload(torch.from_numpy(u), device),
            upload(torch.from_numpy(np.ascontiguousarray(resampling_u)), device),
            upload(torch.from_numpy(members.tokens), device),
            order,
            late_tokens(members, sampler.tokenizer, own_u),
            weights,
            values,
        )
        tokens[:, part] = completed.cpu().numpy()[:, : len(part)]
    return tokens
