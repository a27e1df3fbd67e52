"""Requested conditions that no row meets together, refused before any row is sampled.

The message names the values that contradict each other, the relations that say so, and what the
last of these columns may be instead.
"""

from collections.abc import Collection, Sequence

from models.tabular.completion.given_columns import NEVER_MISSING
from models.tabular.conditions.condition import (
    NO_MATCH,
    Condition,
    InvalidCondition,
    NoMatchingValue,
)
from models.tabular.conditions.explanation import alternatives_of, explain
from models.tabular.conditions.possible_rows import PossibleRows, any_values, possible_rows
from models.tabular.tokenizer import Tokenizer


def check_conditions(tokenizer: Tokenizer, conditions: Sequence[Condition]) -> PossibleRows:
    """Return what conditions leave of all rows. Raises InvalidCondition if it is nothing."""
    complete = any_values(tokenizer, 1).present
    for condition in conditions:
        values = condition.values
        if (
            values is not None
            and values.null_count == len(values)
            and complete[condition.column][0]
        ):
            raise InvalidCondition(condition.column, NEVER_MISSING)
    by_name = {condition.column: condition for condition in conditions}

    def leave(names: Sequence[str], ignored: Collection[str], by_tokens: bool) -> PossibleRows:
        own = [by_name[name] for name in names]
        return possible_rows(tokenizer, own, ignored, by_tokens=by_tokens)

    try:
        possible = leave(list(by_name), (), True)
    except NoMatchingValue as error:
        alternatives = alternatives_of(tokenizer, error.column, leave((), (), True))
        if alternatives is None or alternatives.kind != "range":
            raise
        raise NoMatchingValue(error.column, f"{NO_MATCH}; its values are", alternatives) from error
    if not possible.is_empty:
        return possible
    contradiction = explain(tokenizer, list(by_name), leave)
    column, alternatives = contradiction.column, contradiction.alternatives
    if not contradiction.others:
        reason = f"{NO_MATCH}; its values are" if alternatives else NO_MATCH
        raise NoMatchingValue(column, reason, alternatives)
    raise InvalidCondition(column, contradiction.reason, alternatives)
