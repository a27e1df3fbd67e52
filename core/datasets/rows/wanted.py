"""What a client wants otherwise than it was inferred."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from core.datasets.rows.schema import Type


@dataclass(frozen=True)
class WantedColumn:
    """What is None stays as it is."""

    name: str
    type: Type | None = None
    nullable: bool | None = None
    decimals: int | None = None
    format: str | None = None
    drop: bool | None = None


@dataclass(frozen=True)
class Wanted:
    """`columns` sets their order when it names them all. `base` is where the client said it: the
    beginning of every fault's pointer."""

    columns: tuple[WantedColumn, ...] = ()
    target: str | None = None
    drop: tuple[str, ...] = ()
    base: str = ""
    key: str = "schema"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        columns = tuple(WantedColumn(**column) for column in fields["columns"])
        return cls(**{**fields, "columns": columns, "drop": tuple(fields["drop"])})

    def without(self, names: frozenset[str]) -> Self:
        """For columns that are not there any more."""
        return replace(
            self,
            columns=tuple(column for column in self.columns if column.name not in names),
            drop=tuple(name for name in self.drop if name not in names),
        )

    @property
    def dropped(self) -> frozenset[str]:
        return frozenset(self.drop) | {column.name for column in self.columns if column.drop}
