"""Errors of samplers that depend on the request."""

from collections.abc import Mapping
from typing import Any


class AcceptanceRateTooLow(Exception):
    """Rejection sampling accepted fewer items than requested.

    `acceptance_rate` is the share of all candidates that met the condition. `remedy` is a sentence
    that says which part of the request to change. Of rows, `conditions` are those that candidates
    had to meet, and `partial_row` is the index of a partial row that cannot be completed. The
    sampler of a plan sets `pointer`, the JSON pointer of the part of the request.
    """

    def __init__(
        self,
        accepted: int,
        requested: int,
        acceptance_rate: float,
        remedy: str,
        *,
        conditions: Mapping[str, Any] | None = None,
        partial_row: int | None = None,
    ) -> None:
        share = f"only {acceptance_rate:.2%}" if acceptance_rate >= 0.0001 else "almost none"
        super().__init__(
            f"Only {accepted} of the first {requested} samples could be generated, because {share} "
            f"of the model's candidates meet the request. {remedy}"
        )
        self.accepted, self.requested, self.acceptance_rate = accepted, requested, acceptance_rate
        self.conditions, self.partial_row = conditions, partial_row
        self.pointer = ""


class IdentifiersExhausted(Exception):
    """The numbers of the identifiers of some rows have more than 62 bits."""
