"""What is odd about a set that can be learned from all the same."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class Issue:
    """Something that can be learned from, but not as well as it might. `hint` says what to do."""

    code: str
    severity: Severity
    count: int
    examples: tuple[str, ...]
    hint: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"examples": list(self.examples)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        return cls(**{**fields, "examples": tuple(fields["examples"])})
