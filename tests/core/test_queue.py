"""Hints to a broker that is not there, does not answer, or comes back."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from core import broker
from core.settings import get_settings
from tests.conftest import forget_caches


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def new_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(broker, "_circuit_breaker", broker._CircuitBreaker())
    monkeypatch.setenv("SEMBLANCE_PUBLISH_TIMEOUT_SECONDS", "0.5")
    broker.get_celery.cache_clear()
    yield
    for thread in threading.enumerate():
        if thread.name == "publish":
            thread.join(20)
    broker.get_celery.cache_clear()
    forget_caches()


def use(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("SEMBLANCE_BROKER_URL", f"redis://127.0.0.1:{port}/0")
    get_settings.cache_clear()


def took(job_id: str) -> tuple[bool, float]:
    started = time.monotonic()
    return broker.publish("training", job_id), time.monotonic() - started


def test_a_broker_that_never_answers_costs_no_more_than_the_time_allowed(
    monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    use(monkeypatch, silent)
    broker.get_celery()
    sent, seconds = took("job_1")
    assert not sent
    assert seconds < 4  # the transport itself would wait for 5


def test_a_broker_that_did_not_answer_is_left_alone_and_then_asked_again(
    monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    use(monkeypatch, silent)
    broker.get_celery()
    monkeypatch.setattr(broker, "COOLDOWN_S", 60.0)
    took("job_1")
    sent, seconds = took("job_2")
    assert not sent
    assert seconds < get_settings().publish_timeout_seconds  # it was not even asked
    monkeypatch.setattr(broker, "_circuit_breaker", broker._CircuitBreaker())
    monkeypatch.setattr(broker, "COOLDOWN_S", 0.1)
    took("job_3")
    time.sleep(0.1)
    assert took("job_4")[1] > 0.3


def test_without_a_broker_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMBLANCE_BROKER_URL", "")
    get_settings.cache_clear()
    assert took("job_1")[0] is False
