"""Rows that meet rare conditions, completed from the values that these require.

If one row in thousands has a product, rejection tries thousands of candidates for each row that
must have it. A partial row with this value needs few particles, and so does a range or a list of
values, if tokens that cannot meet it are not sampled (`weights.py`).
"""

from typing import Any

import numpy as np

from models.errors import AcceptanceRateTooLow
from models.noise import Indices
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidCondition, InvalidPartialRow
from models.tabular.conditions.plan import parse_conditions
from models.tabular.conditions.weights import ConditionedRows
from models.tabular.sampling import SampleBatch, TableSampler, noise_seed
from models.tabular.sampling_plan import Where

MAX_RARE_SHARE = 0.01  # of the candidates meet a rare condition


def is_rare(sampler: TableSampler, condition: Where) -> bool:
    """Return True if rows are completed from the condition, because hardly any candidate meets it.

    Completed rows may repeat, so no constraint may require unique ones. Raises InvalidCondition.
    """
    return (
        isinstance(sampler.token_sampler, AutoregressiveSampler)
        and bool(condition)
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
    possible = sampler.possible_rows(condition)
    values = {name: spec for name, spec in condition.items() if _is_single(spec)}
    others = {name: spec for name, spec in condition.items() if name not in values}
    try:
        partial_row = PartialRows.parse(sampler.tokenizer, [values])
    except InvalidPartialRow as error:
        raise InvalidCondition(error.column, error.reason, error.alternatives) from error
    try:
        return complete_rows(
            sampler,
            seed,
            indices,
            partial_row.take(np.zeros(len(indices), np.int64)),
            noise_seed=noise_seed(seed, condition),
            identifier_numbers=identifier_numbers,
            conditioned=ConditionedRows(parse_conditions(sampler.tokenizer, others), possible),
        )
    except AcceptanceRateTooLow as error:
        raise AcceptanceRateTooLow(
            error.accepted,
            error.requested,
            error.acceptance_rate,
            "Relax the conditions.",
            conditions=condition,
        ) from error


def _is_single(spec: Any) -> bool:
    return not isinstance(spec, list | tuple | set | dict)
