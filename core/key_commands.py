"""Commands of `semblance-server keys`, as lines of text."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from core import api_keys, audit, own_quotas
from core.audit import Actor
from core.database import read, write
from core.errors import NotFound
from core.tables import ApiKey
from core.tenant_commands import COMMAND_LINE, PAGE_SIZE


def run(action: str, subject: str | None, quotas: Mapping[str, int | None]) -> Iterator[str]:
    """Run a command; yield the lines to print. `subject` is a tenant to list, or a key.

    Raises:
        SemblanceError: The key does not exist, or a quota is not valid.
    """
    if action == "list":
        yield from _list(subject or api_keys.DEFAULT_TENANT)
        return
    key_id, changes = subject or "", own_quotas.check_of_key(quotas)
    with write() as session:
        key = api_keys.get(session, key_id)
        if key is None:
            raise NotFound(f"API key {key_id[:100]} does not exist.")
        if quotas:
            key = api_keys.change_quotas(session, key.tenant_id, key_id, changes)
            actor = Actor(key.tenant_id, COMMAND_LINE, request_id=None)
            audit.record(session, actor, "key.quotas", key_id)
        yield _line(key_id, key)


def _list(tenant_id: str) -> Iterator[str]:
    after = None
    while True:
        with read() as session:
            page = api_keys.page(
                session, tenant_id, limit=PAGE_SIZE, after=after, include_expired=True
            )
        for key in page:
            yield _line(key.id, key, _state(key), key.name)
        if len(page) < PAGE_SIZE:
            return
        after = page[-1].id


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return (
        "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "valid"
    )


def _line(key_id: str, key: ApiKey, *columns: str) -> str:
    quotas = (f"{name}={limit}" for name, limit in sorted(key.quotas.items()))
    return " ".join([key_id, *columns, *quotas])
