"""Turns of owners."""

from app.fairness.queue import MAX_RECENT, FairQueue


def filled(items: str) -> FairQueue[str]:
    """Return a queue of items, such as `a1`, of the owner that their letter names."""
    queue: FairQueue[str] = FairQueue()
    for item in items.split():
        queue.add(item[0], item)
    return queue


def all_of(queue: FairQueue[str]) -> str:
    return " ".join(iter(queue.pop, None))


def test_owners_take_turns_and_their_items_keep_their_order() -> None:
    assert all_of(filled("a1 a2 a3 a4 b1 b2 c1")) == "a1 b1 c1 a2 b2 a3 a4"


def test_an_owner_whose_last_turn_was_longer_ago_is_served_first() -> None:
    queue = filled("a1 a2 a3 b1")
    assert [queue.pop() for _ in range(3)] == ["a1", "b1", "a2"]
    queue.add("b", "b2")
    assert all_of(queue) == "b2 a3"


def test_an_owner_that_may_not_have_a_turn_keeps_its_place() -> None:
    queue = filled("a1 a2 b1 b2")
    assert queue.pop(lambda owner: owner != "a") == "b1"
    assert queue.pop(lambda _owner: False) is None
    assert all_of(queue) == "a1 b2 a2"


def test_turns_of_few_owners_are_remembered() -> None:
    queue: FairQueue[int] = FairQueue()
    for owner in range(3 * MAX_RECENT):
        queue.add(str(owner), owner)
        queue.pop()
    assert len(queue._last_turn) == MAX_RECENT
