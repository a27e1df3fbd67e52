"""Webhooks with real processes: nobody calls `deliver_due` but the worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.webhooks.receiver import Receiver
from tests.processes import eventually, serving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().serving() as serving:
        yield serving


def test_a_worker_tells_webhooks_of_a_job(receiver: Receiver, tmp_path: Path) -> None:
    allowed = {
        "SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.1"]',
        "SEMBLANCE_WEBHOOK_ALLOW_HTTP": "true",
    }
    with serving(tmp_path / "data", **allowed) as server:
        eventually(server.is_ready)
        with server.client() as client:
            body = {"url": receiver.url, "events": ["job.cancelled"]}
            webhook = client.request("POST", "/v1/webhooks", json=body).json()
            dataset = client.create_builtin_dataset("digits")
            job = client.train(dataset["id"], budget={"steps": 1_000_000})
            client.request("POST", f"/v1/jobs/{job['id']}/cancel")
            eventually(lambda: receiver.received)
            (message,) = receiver.received
            assert message.is_signed_with(webhook["secret"])
            assert message.json["data"]["id"] == job["id"]

            def delivered() -> bool:
                path = webhook["links"]["deliveries"]
                (row,) = client.request("GET", path).json()["data"]
                return bool(row["state"] == "delivered")

            eventually(delivered)
        assert server.stop() == 0
