"""Notifications to a broker that is missing or does not respond."""

import socket
import threading
from collections.abc import Iterator

import pytest

from core import broker
from core.settings import get_settings
from tests.conftest import clear_caches
from tests.processes import TIMEOUT_S


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return a port that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def new_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SEMBLANCE_PUBLISH_TIMEOUT_SECONDS", "0.5")
    broker.get_celery.cache_clear()
    yield
    for thread in threading.enumerate():
        if thread.name == "publish":
            thread.join(20)
    broker.get_celery.cache_clear()
    clear_caches()


def use_broker(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("SEMBLANCE_BROKER_URL", f"redis://127.0.0.1:{port}/0")
    get_settings.cache_clear()


def test_publishing_to_a_broker_that_never_responds_stops_at_the_timeout(
    monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    use_broker(monkeypatch, silent_port)
    options = broker.get_celery().conf.broker_transport_options
    monkeypatch.setitem(options, "socket_timeout", 2 * TIMEOUT_S)
    assert not broker.publish("training")
    assert "publish" in {thread.name for thread in threading.enumerate()}  # the transport waits


def test_without_a_broker_nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMBLANCE_BROKER_URL", "")
    get_settings.cache_clear()
    assert not broker.publish("training")
