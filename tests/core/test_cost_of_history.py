"""The cost of frequent operations does not depend on the number of old jobs."""

from typing import Any

import pytest
from sqlalchemy import event

from bench import history
from core.database import get_engine
from core.settings import Settings
from core.tables import Base
from tests.servers import SERVER

LARGE_TABLES = (
    *("jobs", "events", "checkpoints", "artifacts", "shards", "models", "datasets", "tags"),
    *("deliveries", "webhooks", "idempotency_keys"),
)


def count_instructions() -> dict[str, int]:
    """Return the number of SQLite's virtual machine instructions of each operation."""
    engine, counted = get_engine(), 0

    def count() -> None:
        nonlocal counted
        counted += 1

    @event.listens_for(engine, "checkout")
    def watch(connection: object, *_: object) -> None:
        connection.set_progress_handler(count, 5)  # type: ignore[attr-defined]

    result = {}
    for name, run in history.operations().items():
        run(0)
        counted = 0
        run(1)
        result[name] = 5 * counted
    return result


@pytest.mark.skipif(SERVER is not None, reason="counts the instructions of SQLite")
def test_operations_cost_the_same_after_many_jobs(configured: Settings) -> None:
    history.fill(get_engine(), 100)
    few = count_instructions()
    with get_engine().begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    history.fill(get_engine(), 2_000)
    many = count_instructions()
    grown = {name: (few[name], n) for name, n in many.items() if n > 1.5 * few[name] + 100}
    assert not grown, grown


@pytest.mark.skipif(SERVER is None, reason="reads the plans of PostgreSQL")
def test_postgresql_scans_no_table_of_old_jobs(configured: Settings) -> None:
    history.fill(get_engine(), 5_000)
    executed: dict[str, Any] = {}

    @event.listens_for(get_engine(), "before_cursor_execute")
    def collect(
        _connection: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        executed.setdefault(statement, parameters)

    for run in history.operations().values():
        run(1)
    scans = {}
    statements = [
        item for item in executed.items() if item[0].startswith(("SELECT", "UPDATE", "DELETE"))
    ]
    for statement, parameters in statements:
        with get_engine().connect() as connection:
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
        for line in rows:
            if any(f"Seq Scan on {table} " in line for table in LARGE_TABLES):
                scans[statement] = "\n".join(rows)
    assert not scans, scans
