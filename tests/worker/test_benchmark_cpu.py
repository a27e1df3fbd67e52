"""Speed measured by workers and the estimates derived from it."""

from starlette.testclient import TestClient

from core import workers
from core.database import write
from tests.factories import create_digits_dataset
from worker.benchmark_cpu import measure_gflops


def test_benchmark_in_a_separate_process_returns_a_speed() -> None:
    speed = measure_gflops()
    assert speed is not None
    assert speed > 0.1


def test_estimate_uses_the_slowest_training_worker(client: TestClient) -> None:
    dataset = create_digits_dataset()
    body = {
        "kind": "training",
        "dataset": dataset,
        "budget": {"steps": 10_000},
        "validate_only": True,
    }

    def estimate() -> tuple[float, str]:
        plan = client.post("/v1/jobs", json=body).json()["estimate"]
        return plan["minutes"], plan["basis"]

    minutes, basis = estimate()
    assert "no worker" in basis
    with write() as session:
        workers.heartbeats(
            session, {"wkr_a": workers.describe(queues=["training"], host="a", gflops=200.0)}
        )
        workers.heartbeats(
            session, {"wkr_b": workers.describe(queues=["training"], host="b", gflops=20.0)}
        )
        workers.heartbeats(
            session, {"wkr_c": workers.describe(queues=["generation"], host="c", gflops=1.0)}
        )
    slower, basis = estimate()
    assert "measured" in basis
    assert 4 < slower / minutes < 6  # without workers, 100 GFLOPS are assumed
