"""A minimal HTTP/1.1 client: one POST to a checked address, with a strict total timeout.

It follows no redirects and uses neither proxies nor cookies.
"""

import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING

from core.webhooks.ssrf_guard import Target

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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
        HTTPException: The response is not valid HTTP.
    """
    deadline = time.monotonic() + timeouts.total_s
    with _connect(addresses, target.port, timeouts.connect_s) as tcp_socket:
        tcp_socket.settimeout(_remaining(deadline))
        with _wrap_tls(tcp_socket, target) as connection:
            connection.settimeout(_remaining(deadline))
            connection.sendall(_encode_request(target, headers, body))
            return _read_status(connection, deadline)


def _connect(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    """Connect to the first address that accepts; divide the remaining time between the rest."""
    deadline, candidates = time.monotonic() + timeout_s, addresses[:MAX_ADDRESSES]
    for i, address in enumerate(candidates, start=1):
        try:
            address_timeout_s = _remaining(deadline) / (len(candidates) - i + 1)
            return socket.create_connection((address, port), timeout=address_timeout_s)
        except OSError:
            if i == len(candidates):
                raise
    raise OSError("There is no address to connect to.")


def _wrap_tls(tcp_socket: socket.socket, target: Target) -> socket.socket:
    if target.scheme == "http":
        return tcp_socket
    return ssl.create_default_context().wrap_socket(tcp_socket, server_hostname=target.host)


def _encode_request(target: Target, headers: Mapping[str, str], body: str) -> bytes:
    data = body.encode()
    own_headers = {"Host": target.authority, "Connection": "close", "Content-Length": len(data)}
    lines = [f"POST {target.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**own_headers, **headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + data


def _read_status(connection: socket.socket, deadline: float) -> int:
    response = HTTPResponse(connection, method="POST")
    response.fp.close()
    response.fp = io.BufferedReader(_DeadlineReader(connection, deadline))
    try:
        response.begin()
        # Read and discard a short body, so that the receiver can send its response completely.
        with suppress(OSError, HTTPException, ValueError):
            response.read(MAX_BODY_BYTES)
        return response.status
    finally:
        response.close()


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline; a socket's own timeout restarts with every byte."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        self._connection.settimeout(_remaining(self._deadline))
        return self._connection.recv_into(buffer)


def _remaining(deadline: float) -> float:
    """Return the seconds until the deadline; raise TimeoutError after it."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
