"""HTTP client for URLs of clients: a request to a checked address, with a strict total timeout.

httpcore2 implements HTTP. Its connections come from `_CheckedAddresses`, which never resolves a
name. It follows no redirects, keeps no cookies and reads no proxies from the environment: httpx2,
which is not used here, does that.
"""

import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpcore2

from core.webhooks.ssrf_guard import Target

MAX_BODY_BYTES = 1024
MAX_ADDRESSES = 4


@dataclass(frozen=True)
class Timeouts:
    connect_s: float = 5.0
    total_s: float = 10.0


DEFAULT_TIMEOUTS = Timeouts()


def post(
    target: Target,
    addresses: Sequence[str],
    headers: Mapping[str, str],
    body: str,
    timeouts: Timeouts,
) -> int:
    """Send the request and return the status of the response.

    The host name appears in the Host header, in SNI and in the certificate check, but is not
    resolved again: only `addresses` are used.

    Raises:
        OSError: The connection, TLS or the timeout failed.
        httpcore2.ProtocolError: The response is not valid HTTP.
    """
    url = httpcore2.URL(
        scheme=target.scheme, host=target.host, port=target.port, target=target.path
    )
    all_headers = [("Host", target.authority), ("Connection", "close"), *headers.items()]
    with (
        httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context() if target.scheme == "https" else None,
            network_backend=_CheckedAddresses(addresses, timeouts),
        ) as pool,
        pool.stream("POST", url, headers=all_headers, content=body.encode()) as response,
    ):
        # Read and discard a short body, so that the receiver can send its response completely.
        with suppress(OSError, httpcore2.ProtocolError):
            received = 0
            for chunk in response.iter_stream():
                received += len(chunk)
                if received >= MAX_BODY_BYTES:
                    break
        return response.status


@contextmanager
def get(
    target: Target, addresses: Sequence[str], headers: Mapping[str, str], timeouts: Timeouts
) -> Iterator[httpcore2.Response]:
    """Send GET and yield the response, whose content has not been read. Raises as `post` does."""
    url = httpcore2.URL(
        scheme=target.scheme, host=target.host, port=target.port, target=target.path
    )
    all_headers = [("Host", target.authority), ("Connection", "close"), *headers.items()]
    with (
        httpcore2.ConnectionPool(
            ssl_context=ssl.create_default_context() if target.scheme == "https" else None,
            network_backend=_CheckedAddresses(addresses, timeouts),
        ) as pool,
        pool.stream("GET", url, headers=all_headers) as response,
    ):
        yield response


class _CheckedAddresses(httpcore2.NetworkBackend):
    """Connects to the given addresses, whatever the host is, and until one deadline."""

    def __init__(self, addresses: Sequence[str], timeouts: Timeouts) -> None:
        self._addresses = addresses[:MAX_ADDRESSES]
        self._connect_s = timeouts.connect_s
        self._deadline = time.monotonic() + timeouts.total_s

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - may resolve to an address that was not checked
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline replaces it
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that accepts; divide the time between the others."""
        connect_deadline = time.monotonic() + self._connect_s
        for remaining in range(len(self._addresses), 0, -1):
            address = self._addresses[-remaining]
            try:
                timeout_s = _seconds_until(connect_deadline) / remaining
                connection = socket.create_connection((address, port), timeout_s)
            except OSError:
                if remaining == 1:
                    raise
            else:
                return _DeadlineStream(connection, self._deadline)
        raise OSError("There is no address to connect to.")


class _DeadlineStream(httpcore2.NetworkStream):
    """Socket that is used until a deadline; httpcore2's timeouts restart with every byte."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        self._connection.settimeout(_seconds_until(self._deadline))
        return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._connection.settimeout(_seconds_until(self._deadline))
        self._connection.sendall(buffer)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        self._connection.settimeout(_seconds_until(self._deadline))
        self._connection = ssl_context.wrap_socket(
            self._connection, server_hostname=server_hostname
        )
        return self

    def close(self) -> None:
        self._connection.close()


def _seconds_until(deadline: float) -> float:
    """Return the seconds until the deadline; raise TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
