"""Protection against server-side request forgery (SSRF) by URLs of webhooks and datasets.

They may reach public addresses, and hosts and networks that the operator allows. A URL is
parsed only here, and requests are built from the parsed parts. A second parser could otherwise
disagree with the one that was used for the check.
"""

import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from core.settings import get_settings

# Maps a host and a port to the host's addresses, which may be empty. Tests replace it.
Resolve = Callable[[str, int], Sequence[str]]

RESOLVE_S = 5.0

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[\w.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][\w.~:/?\[\]@!$&'()*+,;=%-]*)?",
    re.ASCII | re.IGNORECASE,
)
_NAME = re.compile(r"(?=.{1,253}$)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!$)|$))+")
# Other spellings that resolvers accept as an IPv4 address: 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
_NUMERIC_HOST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

# The IANA special-purpose address registries, without the globally reachable entries.
_NOT_PUBLIC = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # a public address, but on Azure the agent of the virtual machine
        # Teredo and other protocol assignments; documentation; 6to4, which embeds IPv4 addresses
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]
# All other IPv6 addresses are rejected: loopback, mapped and NAT64 IPv4, local, multicast.
_GLOBAL_UNICAST = IPv6Network("2000::/3")


class UrlNotAllowed(Exception):
    """The server must not call the URL. The message is for the customer and names no address."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Target:
    """A parsed URL. An IPv6 `host` has no brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default_port = {"https": 443, "http": 80}[self.scheme] == self.port
        return host if is_default_port else f"{host}:{self.port}"


def parse(url: str, *, allow_http: bool | None = None) -> Target:
    """Parse a URL; whether it needs TLS is a setting, by default that of webhooks.

    Raises UrlNotAllowed.
    """
    if allow_http is None:
        allow_http = get_settings().webhook_allow_http
    match = _URL.fullmatch(url)
    if match is None:
        raise UrlNotAllowed(
            "url_invalid",
            "The URL must be https://host[:port]/path in ASCII, without user, password or "
            "fragment.",
        )
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if scheme == "http" and not allow_http:
        raise UrlNotAllowed("scheme_not_allowed", "The URL must begin with https://.")
    port = int(match["port"] or {"https": 443, "http": 80}[scheme])
    if not 1 <= port <= 65_535:
        raise UrlNotAllowed("url_invalid", "The port must be between 1 and 65535.")
    path = match["path"] or "/"
    return Target(scheme, _parse_host(host), port, path if path.startswith("/") else f"/{path}")


def _parse_host(text: str) -> str:
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
        if _NUMERIC_HOST.fullmatch(text):
            return str(IPv4Address(text))  # accepts only four decimal numbers
    except ValueError as error:
        raise UrlNotAllowed("url_invalid", "The host is not a valid IP address.") from error
    if not _NAME.fullmatch(text):
        raise UrlNotAllowed("url_invalid", "The host is not a valid name.")
    return text


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of the host; empty if it has none or the resolver takes too long.

    The system's resolver has no timeout, so it runs in a daemon thread that can be abandoned.
    """
    addresses: list[str] = []

    def query() -> None:
        with suppress(OSError):
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses.extend(dict.fromkeys(str(entry[4][0]) for entry in entries))

    thread = threading.Thread(target=query, name="resolve", daemon=True)
    thread.start()
    thread.join(RESOLVE_S)
    return tuple(addresses)


def allowed_addresses(
    target: Target, resolve: Resolve, private: Sequence[str] | None = None
) -> Sequence[str]:
    """Return the addresses to connect to.

    `private` are hosts and networks that need not be public, by default those of webhooks.

    Raises UrlNotAllowed if the host has no address, or if any of its addresses is not allowed.
    """
    is_literal = ":" in target.host or _NUMERIC_HOST.fullmatch(target.host)
    addresses = [target.host] if is_literal else resolve(target.host, target.port)
    if not addresses:
        raise UrlNotAllowed("host_unknown", "The host name cannot be resolved.")
    if private is None:
        private = get_settings().webhook_allowed_networks
    if not all(_is_permitted(target.host, ip_address(text), private) for text in addresses):
        raise UrlNotAllowed("address_not_public", "The host is not on the public internet.")
    return addresses


def _is_permitted(host: str, address: IPv4Address | IPv6Address, private: Sequence[str]) -> bool:
    for entry in private:
        allowed = _network(entry)
        if entry.lower() == host or (allowed is not None and address in allowed):
            return True
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None  # the entry is a host name
