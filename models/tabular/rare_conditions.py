"""Rows that meet rare conditions, completed from the values that these require.

If one row in thousands has a product, rejection tries thousands of candidates for each row that
shall have it. A partial row with this value needs few particles.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from models.errors import AcceptanceRateTooLow
from models.noise import Indices
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.conditions import Condition, InvalidCondition, InvalidPartialRow
from models.tabular.partial_rows import PartialRows
from models.tabular.row_completion import complete_rows
from models.tabular.sampling import SampleBatch, TableSampler, noise_seed
from models.tabular.sampling_plan import Where

MAX_RARE_SHARE = 0.01  # of the candidates meet a rare condition
MAX_ROUNDS = 20  # of completions, of which other conditions reject some


def is_rare(sampler: TableSampler, condition: Where) -> bool:
    """Return True if rows are completed from the condition, because hardly any candidate meets it.

    It must have a single value of some column. Completed rows may repeat, so no constraint may
    require unique ones. Raises InvalidCondition.
    """
    return (
        isinstance(sampler.token_sampler, AutoregressiveSampler)
        and any(map(_is_single, condition.values()))
        and not sampler.unique_constraints()
        and sampler.accepted_share(condition) < MAX_RARE_SHARE
    )


def sample_rare(
    sampler: TableSampler,
    seed: int,
    indices: Indices,
    condition: Where,
    identifier_numbers: Indices,
) -> SampleBatch:
    """Generate one row that meets a rare condition for each index (see `TableSampler.sample`).

    Raises InvalidCondition if its values contradict each other, and AcceptanceRateTooLow.
    """
    values = {name: spec for name, spec in condition.items() if _is_single(spec)}
    arrow = sampler.tokenizer.arrow
    others = [
        Condition.parse(arrow.field(name), spec)
        for name, spec in condition.items()
        if name not in values
    ]
    try:
        partial_row = PartialRows.parse(sampler.tokenizer, [values])
    except InvalidPartialRow as error:
        raise InvalidCondition(error.column, str(error)) from error
    pending, places, batches, num_tried = np.arange(len(indices)), [], [], 0.0
    own_seed = noise_seed(seed, condition)
    for attempt in range(MAX_ROUNDS):
        try:
            batch = complete_rows(
                sampler,
                seed,
                indices[pending],
                partial_row.take(np.zeros(len(pending), np.int64)),
                noise_seed=noise_seed(own_seed, {"round": attempt}),
                identifier_numbers=identifier_numbers[pending],
            )
        except AcceptanceRateTooLow as error:
            raise _too_rare(len(indices) - len(pending), len(indices), 0.0, condition) from error
        num_tried += len(pending) / batch.acceptance_rate
        meets = np.ones(len(pending), bool)
        for other in others:
            meets &= other.matches(batch.rows.column(other.column))
        places.append(pending[meets])
        batches.append(batch.rows.filter(pa.array(meets)))
        pending = pending[~meets]
        if not len(pending):
            rows = pa.concat_batches(batches).take(pa.array(np.argsort(np.concatenate(places))))
            return SampleBatch(rows, len(indices) / num_tried)
    accepted = len(indices) - len(pending)
    raise _too_rare(accepted, len(indices), accepted / num_tried, condition)


def _too_rare(accepted: int, requested: int, share: float, condition: Where) -> Exception:
    return AcceptanceRateTooLow(
        accepted, requested, share, "Relax the conditions.", conditions=condition
    )


def _is_single(spec: Any) -> bool:
    return not isinstance(spec, list | tuple | set | dict)
