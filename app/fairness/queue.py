"""Queue whose owners take turns, whatever the number of items of each.

Without turns, a tenant that sends a hundred requests at once has a hundred places before the next
request of another tenant.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_RECENT = 1_000  # owners whose last turn is remembered


class FairQueue(Generic[T]):
    """Items by owner, such as a tenant. Those of one owner keep their order."""

    def __init__(self) -> None:
        self._items: dict[str, deque[T]] = {}
        self._turns = 0  # total number
        self._last_turn: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._items.values()))

    def owners(self) -> Iterable[str]:
        return self._items.keys()

    def add(self, owner: str, item: T) -> None:
        self._items.setdefault(owner, deque()).append(item)

    def pop(self, may_have_turn: Callable[[str], bool] = lambda _owner: True) -> T | None:
        """Remove and return an item of the owner whose last turn was longest ago."""
        owners = filter(may_have_turn, self._items)
        owner = min(owners, key=lambda each: self._last_turn.get(each, 0), default=None)
        if owner is None:
            return None
        item = self._items[owner].popleft()
        if not self._items[owner]:
            del self._items[owner]
        self._turns += 1
        self._last_turn[owner] = self._turns
        self._last_turn.move_to_end(owner)
        if len(self._last_turn) > MAX_RECENT:
            self._last_turn.popitem(last=False)
        return item
