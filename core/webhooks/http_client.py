"""One POST over HTTP/1.1 to an address that was checked: no redirects, no proxies, no cookies, and
an end to it whatever the other side does."""

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

BODY_READ = 1024
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
    """The status of the answer. Raises OSError (timeouts and TLS among it) or HTTPException.

    The host is named in the Host header, in SNI, and to the certificate's check, but is not looked
    up again.
    """
    deadline = time.monotonic() + timeouts.total_s
    with _connected(addresses, target.port, timeouts.connect_s) as plain:
        plain.settimeout(_left(deadline))
        with _secured(plain, target) as connection:
            connection.settimeout(_left(deadline))
            connection.sendall(_request(target, headers, body))
            return _status(connection, deadline)


def _connected(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
    """To the first address that answers; each gets a fair part of the time."""
    deadline, tried = time.monotonic() + seconds, addresses[:MAX_ADDRESSES]
    for i, address in enumerate(tried, start=1):
        try:
            patience = _left(deadline) / (len(tried) - i + 1)
            return socket.create_connection((address, port), timeout=patience)
        except OSError:
            if i == len(tried):
                raise
    raise OSError("no address")


def _secured(plain: socket.socket, target: Target) -> socket.socket:
    if target.scheme == "http":
        return plain
    return ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)


def _request(target: Target, headers: Mapping[str, str], body: str) -> bytes:
    data = body.encode()
    lines = {"Host": target.authority, "Connection": "close", "Content-Length": len(data)}
    head = [f"POST {target.path} HTTP/1.1"]
    head += [f"{name}: {value}" for name, value in {**lines, **headers}.items()]
    return "\r\n".join([*head, "", ""]).encode("ascii") + data


def _status(connection: socket.socket, deadline: float) -> int:
    response = HTTPResponse(connection, method="POST")
    response.fp.close()
    response.fp = io.BufferedReader(_Until(connection, deadline))
    try:
        response.begin()
        # Of the answer's body, nothing is kept; a short one is let through so that the other side
        # sees it sent.
        with suppress(OSError, HTTPException, ValueError):
            response.read(BODY_READ)
        return response.status
    finally:
        response.close()


class _Until(io.RawIOBase):
    """What a socket receives until a deadline: its own timeout begins anew with every byte."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        self._connection.settimeout(_left(self._deadline))
        return self._connection.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
