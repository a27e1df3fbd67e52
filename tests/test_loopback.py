"""The tests send nothing to other machines."""

import socket

import pytest


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")]
)
def test_a_connection_to_another_machine_fails(family: int, address: str) -> None:
    with socket.socket(family) as client, pytest.raises(pytest.fail.Exception, match="connects to"):
        client.connect((address, 9))
