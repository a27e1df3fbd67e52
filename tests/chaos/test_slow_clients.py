"""Hundreds of clients that send half of a request, or nothing, without a key."""

import contextlib
import socket
from pathlib import Path

import httpx
import pytest

from tests.processes import Server, eventually, serving

HALF_OPEN = b"GET /v1/jobs HTTP/1.1\r\nhost: localhost\r\n"
HALF_SENT = (
    b"POST /v1/models/x/samples HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer sem_wrong\r\ncontent-length: 1000\r\n\r\n{"
)


def connect(server: Server, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), 30)
    client.sendall(sent)
    return client


def is_closed(client: socket.socket) -> bool:
    """Return True if the server has closed the connection."""
    client.setblocking(False)
    try:
        while client.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


@pytest.mark.slow
def test_half_sent_requests_and_silent_clients_do_not_keep_out_who_has_a_key(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "data") as server, contextlib.ExitStack() as clients:
        eventually(server.is_ready)
        headers = {
            "Authorization": f"Bearer {(tmp_path / 'data' / 'admin.key').read_text().strip()}"
        }
        half_sent, others = [], []
        for sent, count in ((HALF_OPEN, 200), (b"", 300), (HALF_SENT, 260)):
            for _ in range(count):
                client = clients.enter_context(connect(server, sent))
                (half_sent if sent is HALF_SENT else others).append(client)
        (api,) = server.find("-m app")
        statuses, cpu_s = set(), sum(api.cpu_times()[:2])
        with httpx.Client(base_url=server.url, timeout=60) as http:
            for _ in range(50):
                statuses.add(http.get("/livez").status_code)
                statuses.add(http.get("/v1/jobs", headers=headers).status_code)
                body = {"count": 1}
                sampled = http.post("/v1/models/x/samples", json=body, headers=headers)
                assert sampled.status_code == 404  # no place was missing
        assert statuses == {200}
        assert sum(api.cpu_times()[:2]) - cpu_s < 10  # 150 requests, and what the others cost
        eventually(lambda: all(is_closed(client) for client in others), within=60)
        assert all(is_closed(client) or client.close() is None for client in half_sent)
        assert len(server.log()) < 100_000
