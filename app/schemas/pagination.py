"""Pagination of lists: the cursor is the id of the last item of the previous page."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, Self, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from core.errors import BadRequest
from core.listing import MAX_TOTAL, ListedPage, Order, PageRequest
from core.settings import get_settings

Item = TypeVar("Item")

Limit = Annotated[
    int,
    Query(
        ge=1,
        description="Maximum number of items in the page. Default: 50. Values above the service's "
        "`page_size` limit are reduced to it.",
    ),
]
After = Annotated[
    str | None,
    Query(description="`next` of the previous page. Default: start with the first page."),
]


class Page(BaseModel, Generic[Item]):
    data: list[Item] = Field(description="Items of this page.")
    next: str | None = Field(
        description="Cursor of the next page, to be sent as `after`; null on the last page."
    )
    has_more: bool = Field(description="Whether there is another page.")


class CountedPage(Page[Item], Generic[Item]):
    total: int = Field(description="Number of all items that pass the filters.")
    total_is_exact: bool = Field(
        description=f"False if there are more than {MAX_TOTAL}; `total` is then {MAX_TOTAL}."
    )

    @classmethod
    def of(cls, page: ListedPage[Any], views: Sequence[Item]) -> Self:
        return cls(
            data=list(views),
            next=page.next,
            has_more=page.next is not None,
            total=page.total,
            total_is_exact=page.total_is_exact,
        )


def list_parameters(prefix: str) -> Any:
    """Return a dependency that reads the parameters of a list of resources with this prefix."""

    async def read_parameters(
        limit: Limit = 50,
        after: After = None,
        sort: Annotated[
            Order, Query(description="Order; `-` is descending. Default: newest first.")
        ] = "-created_at",
        name: Annotated[
            str | None,
            Query(
                max_length=256,
                description="Only with this name; `shoes*` are names that begin with `shoes`. "
                "Default: all.",
            ),
        ] = None,
        tag: Annotated[
            str | None, Query(max_length=400, description="Only with this tag, `key:value`.")
        ] = None,
    ) -> PageRequest:
        cursor = check_cursor(after, prefix)
        return PageRequest(page_size(limit), cursor, sort, name, tag)

    return Depends(read_parameters)


def page_size(limit: int) -> int:
    return min(limit, get_settings().limits.page_size)


def build_page(rows: list[Any], limit: int, view: Callable[[Any], Item]) -> Page[Item]:
    """Build a page of at most `limit` of the `rows`.

    The caller queries `limit + 1` rows: the extra row shows that there is another page.
    """
    shown = rows[:limit]
    has_more = len(rows) > limit
    return Page(
        data=[view(row) for row in shown],
        next=shown[-1].id if has_more else None,
        has_more=has_more,
    )


def check_cursor(after: str | None, prefix: str) -> str | None:
    """Return the cursor `after`.

    Raises:
        BadRequest: The cursor does not start with the prefix of the listed ids.
    """
    if after is not None and not after.startswith(f"{prefix}_"):
        raise BadRequest(
            "`after` is not a cursor of this list. Send `next` of the previous page.",
            code="cursor_invalid",
        )
    return after
