"""Completion of partial rows: given values are unchanged, the others are sampled given them."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import AcceptanceRateTooLow
from models.noise import NOISE, Indices, attempt_stream, uniforms
from models.placement import upload
from models.tabular.autoregressive_sampler import UNKNOWN_TOKEN, AutoregressiveSampler
from models.tabular.categorical_columns import Floats, Tokens
from models.tabular.conditions import CompletionUnsupported
from models.tabular.partial_rows import PartialRows
from models.tabular.sampling import SampleBatch, TableSampler

NUM_PARTICLES = 32  # per row to complete
MAX_ATTEMPTS = 50  # per row, until it satisfies the constraints


def complete_rows(
    sampler: TableSampler, seed: int, indices: Indices, partial_rows: PartialRows
) -> SampleBatch:
    """Complete partial rows.

    Constraints are satisfied, except `unique`. The critic does not reject rows.

    Raises:
        CompletionUnsupported: The model generates a row at once.
        AcceptanceRateTooLow: No completion of some row satisfies the constraints.
    """
    if not isinstance(sampler.token_sampler, AutoregressiveSampler):
        raise CompletionUnsupported
    given = partial_rows.tokens
    tokens = np.zeros_like(given)
    decode_u = np.ascontiguousarray(
        uniforms(seed, indices, sampler.token_sampler.num_uniforms, NOISE).T[len(given) :]
    )
    # Given values come first and need one particle, unless they are coded by values that are not.
    is_exact = sampler.supports_any_order and not sampler.tokenizer.coding.near
    particles = 1 if is_exact else NUM_PARTICLES
    pending, num_tried = np.arange(len(indices)), 0
    for attempt in range(MAX_ATTEMPTS):
        first_stream = attempt * (particles + 1)
        for members, order in _given_columns_first(sampler, given[:, pending]):
            index = pending[members]
            tokens[:, index] = _complete_batch(
                sampler,
                seed,
                indices[index],
                partial_rows.take(index),
                decode_u[:, index],
                range(first_stream, first_stream + particles),
                order,
            )
        num_tried += len(pending)
        id_values = sampler.id_values(seed, indices, tokens)
        coded = sampler.tokenizer.decode_columns(tokens, decode_u, id_values)
        rows = partial_rows.decode(sampler.tokenizer, coded)
        is_valid = sampler.tokenizer.satisfies_constraints(tokens, rows)
        pending = np.flatnonzero(~(is_valid & sampler.tokenizer.coding.satisfied(rows)))
        if not len(pending):
            return SampleBatch(rows, len(indices) / (num_tried * particles))
    num_accepted = len(indices) - len(pending)
    raise AcceptanceRateTooLow(num_accepted, len(indices), num_accepted / (num_tried * particles))


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
    streams: range,
    order: list[int] | None,
) -> Tokens:
    """Return (S, N) completed tokens.

    Batches have one fixed shape, so a row does not depend on those completed with it.
    """
    assert isinstance(sampler.token_sampler, AutoregressiveSampler)  # noqa: S101 - see `complete_rows`
    size, n = partial_rows.tokens.shape
    rows_per_batch = sampler.batch_size // len(streams)
    tokens = np.empty_like(partial_rows.tokens)
    for part in np.array_split(np.arange(n), range(rows_per_batch, n, rows_per_batch)):
        padded = np.pad(part, (0, rows_per_batch - len(part)), mode="edge")
        batch_indices, members = indices[padded], partial_rows.take(padded)
        particle_u = [uniforms(seed, batch_indices, size, attempt_stream(i)).T for i in streams]
        u = np.concatenate(particle_u, axis=1).astype(np.float32)
        resampling_u = uniforms(seed, batch_indices, size + 1, attempt_stream(streams.stop)).T
        device = sampler.token_sampler.device
        completed = sampler.token_sampler.complete(
            upload(torch.from_numpy(u), device),
            upload(torch.from_numpy(np.ascontiguousarray(resampling_u)), device),
            upload(torch.from_numpy(members.tokens), device),
            order,
            members.late_tokens(sampler.tokenizer, decode_u[:, padded]),
        )
        tokens[:, part] = completed.cpu().numpy()[:, : len(part)]
    return tokens
