"""Guard of the tests: their process connects to this machine only."""

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest


def connect_to_loopback_only() -> None:
    """Let a connection to another machine fail the test, before a packet is sent."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _checked(getattr(socket.socket, name)))


def _checked(connect: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: socket.socket, address: Any) -> Any:
        is_network = self.family in (socket.AF_INET, socket.AF_INET6)
        if is_network and address[0] != "localhost" and not ip_address(address[0]).is_loopback:
            pytest.fail(f"A test connects to {address[0]}.")
        return connect(self, address)

    return checked
