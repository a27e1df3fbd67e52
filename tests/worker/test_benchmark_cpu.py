"""What a worker says of its speed is what estimates are made of."""

from starlette.testclient import TestClient

from core import workers
from core.database import write
from tests.factories import create_digits_dataset
from worker.benchmark_cpu import measure_gflops


def test_a_worker_measures_itself_in_a_process_of_its_own() -> None:
    speed = measure_gflops()
    assert speed is not None
    assert speed > 0.1


def test_an_estimate_is_made_from_the_slowest_worker_that_trains(client: TestClient) -> None:
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
        workers.heartbeat(session, "wkr_a", queues=["training"], host="a", gflops=200.0)
        workers.heartbeat(session, "wkr_b", queues=["training"], host="b", gflops=20.0)
        workers.heartbeat(session, "wkr_c", queues=["generation"], host="c", gflops=1.0)
    slower, basis = estimate()
    assert "measured" in basis
    assert 4 < slower / minutes < 6  # 100 is assumed
