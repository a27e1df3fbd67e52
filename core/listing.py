"""Pages of datasets, jobs and models: filters, order, cursor and total.

A page is selected by id from one index, then its rows are loaded. `bench/lists.py` measures lists
of 100,000 rows.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, Select, and_, delete, func, select, tuple_
from sqlalchemy.orm import Session

from core.errors import BadRequest, FieldError, ValidationFailed
from core.tables import Dataset, Job, Model, Tag

Row = TypeVar("Row", Dataset, Job, Model)
Order = Literal["-created_at", "created_at", "name", "-name"]

MAX_TOTAL = 1_000  # rows are counted up to here: a count of more would cost more than a page


@dataclass(frozen=True)
class PageRequest:
    """Parameters that all lists have. `name` may end with `*`; `tag` is `key:value`."""

    limit: int
    after: str | None = None
    order: Order = "-created_at"
    name: str | None = None
    tag: str | None = None


@dataclass(frozen=True)
class ListedPage(Generic[Row]):
    rows: list[Row] = field(default_factory=list)
    next: str | None = None
    total: int = 0
    total_is_exact: bool = True


def list_page(
    session: Session,
    table: type[Row],
    tenant_id: str,
    request: PageRequest,
    filters: Sequence[ColumnElement[bool]] = (),
) -> ListedPage[Row]:
    """Return one page of the rows that pass all filters, and the number of all of them.

    Raises:
        BadRequest: `after` is not a cursor of this order.
        ValidationFailed: `tag` has no colon.
    """
    matches = select(table.id).where(table.tenant_id == tenant_id, *filters)
    matches = _by_tag(_by_name(matches, table, request.name), table, tenant_id, request.tag)
    total = session.scalar(
        select(func.count()).select_from(matches.limit(MAX_TOTAL + 1).subquery())
    )
    ids = list(session.scalars(_in_order(matches, table, request).limit(request.limit + 1)))
    shown = ids[: request.limit]
    by_id = {row.id: row for row in session.scalars(select(table).where(table.id.in_(shown)))}
    rows = [by_id[row_id] for row_id in shown]
    return ListedPage(
        rows=rows,
        next=_cursor(rows[-1], request.order) if len(ids) > request.limit else None,
        total=min(total or 0, MAX_TOTAL),
        total_is_exact=(total or 0) <= MAX_TOTAL,
    )


def _by_name(matches: Select[Any], table: type[Row], name: str | None) -> Select[Any]:
    if name is None:
        return matches
    if not name.endswith("*"):
        return matches.where(table.name == name)
    prefix = name.removesuffix("*")
    if not prefix:
        return matches
    return matches.where(table.name >= prefix, table.name < prefix + "\U0010ffff")


def _by_tag(matches: Select[Any], table: type[Row], tenant_id: str, tag: str | None) -> Select[Any]:
    if tag is None:
        return matches
    key, colon, value = tag.partition(":")
    if not colon or not key:
        error = FieldError("/tag", "invalid", "Must be `key:value`.")
        raise ValidationFailed("`tag` must be `key:value`.", field_errors=[error])
    return matches.join(
        Tag,
        and_(
            Tag.tenant_id == tenant_id,
            Tag.key == key,
            Tag.value == value,
            Tag.resource_id == table.id,
        ),
    )


def _in_order(matches: Select[Any], table: type[Row], request: PageRequest) -> Select[Any]:
    """Order the ids, and start after the cursor."""
    descending = request.order.startswith("-")
    by_name = request.order.endswith("name")
    columns = (table.name, table.id) if by_name else (table.id,)
    matches = matches.order_by(*(c.desc() if descending else c.asc() for c in columns))
    if request.after is None:
        return matches
    row_id, name = _parse_cursor(request.after, by_name=by_name)
    if not by_name:
        return matches.where(table.id < row_id if descending else table.id > row_id)
    position, last = tuple_(table.name, table.id), (name, row_id)
    return matches.where(position < last if descending else position > last)


def _cursor(row: Any, order: Order) -> str:
    if not order.endswith("name"):
        return str(row.id)
    return f"{row.id}:{base64.urlsafe_b64encode(row.name.encode()).decode().rstrip('=')}"


def _parse_cursor(cursor: str, *, by_name: bool) -> tuple[str, str]:
    row_id, colon, encoded = cursor.partition(":")
    try:
        name = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except ValueError:
        name, by_name = "", not colon
    if bool(colon) != by_name or "\x00" in name:
        raise BadRequest(
            "`after` is not a cursor of this order. Send `next` of the previous page.",
            code="cursor_invalid",
        )
    return row_id, name


def forget_tags(session: Session, resource_ids: Sequence[str]) -> None:
    """Delete the tags of resources that are deleted in the same transaction."""
    session.execute(delete(Tag).where(Tag.resource_id.in_(resource_ids)))
