"""Lists: a cursor that is the last id of the page before."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from core.errors import BadRequest
from core.settings import get_settings

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, description="resources in the answer; at most the page limit")]
After = Annotated[str | None, Query(description="`next` of the page before")]


class Page(BaseModel, Generic[Item]):
    data: list[Item]
    next: str | None = Field(description="send it as `after` to go on; null at the end")
    has_more: bool


def page_size(limit: int) -> int:
    return min(limit, get_settings().limits.page_size)


def build_page(rows: list[Any], limit: int, view: Callable[[Any], Item]) -> Page[Item]:
    """Of the `limit + 1` rows asked for, `limit` are shown; the last tells that there is more."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(
        data=[view(row) for row in shown], next=shown[-1].id if more else None, has_more=more
    )


def check_cursor(after: str | None, prefix: str) -> str | None:
    if after is not None and not after.startswith(f"{prefix}_"):
        raise BadRequest("`after` is not a cursor of this list", code="cursor_invalid")
    return after
