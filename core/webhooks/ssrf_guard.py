"""Where a webhook may point: to public addresses, and to what the operator has allowed besides.

A URL is taken apart here and nowhere else, and requests are made of these parts: there is no second
reading of it that could differ from the one that was checked.
"""

import re
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from core.settings import get_settings

# A host and a port to the host's addresses; none when it has none. Tests bring their own.
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
# What resolvers also read as an IPv4 address: 2130706433, 0x7f.1, 127.1, 0177.0.0.1
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

# IANA's special-purpose registries, less what they call globally reachable.
_NOT_PUBLIC = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # public by number, but the host's own agent on Azure
        # Teredo and other protocol assignments; documentation; 6to4, which holds any IPv4 address
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]
# All other IPv6 is refused with it: loopback, mapped and NAT64 forms of IPv4, local, multicast.
_GLOBAL_UNICAST = IPv6Network("2000::/3")


class UrlNotAllowed(Exception):
    """The URL is not called. The text is for the customer, and names no address."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Target:
    """A URL in parts; an IPv6 `host` is without its brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme] == self.port
        return host if usual else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """Raises UrlNotAllowed."""
    match = _URL.fullmatch(url)
    if match is None:
        text = "must be https://host[:port]/path in ASCII, without user, password and fragment"
        raise UrlNotAllowed("url_invalid", text)
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if scheme == "http" and not get_settings().webhook_allow_http:
        raise UrlNotAllowed("scheme_not_allowed", "must begin with https://")
    port = int(match["port"] or {"https": 443, "http": 80}[scheme])
    if not 1 <= port <= 65_535:
        raise UrlNotAllowed("url_invalid", "a port is a number from 1 to 65535")
    path = match["path"] or "/"
    return Target(scheme, _host(host), port, path if path.startswith("/") else f"/{path}")


def _host(text: str) -> str:
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
        if _NUMBER.fullmatch(text):
            return str(IPv4Address(text))  # four decimal numbers, and no other spelling
    except ValueError as error:
        raise UrlNotAllowed("url_invalid", "the host is no IP address as it is written") from error
    if not _NAME.fullmatch(text):
        raise UrlNotAllowed("url_invalid", "the host is no name")
    return text


def resolve(host: str, port: int) -> Sequence[str]:
    """As the system does it, which may take long: asked in a thread that can be left behind."""
    found: list[str] = []

    def ask() -> None:
        with suppress(OSError):
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    thread = threading.Thread(target=ask, name="resolve", daemon=True)
    thread.start()
    thread.join(RESOLVE_S)
    return tuple(found)


def allowed_addresses(target: Target, resolve: Resolve) -> Sequence[str]:
    """What to connect to. Raises UrlNotAllowed when there is nothing, or a single address is amiss."""
    literal = ":" in target.host or _NUMBER.fullmatch(target.host)
    addresses = [target.host] if literal else resolve(target.host, target.port)
    if not addresses:
        raise UrlNotAllowed("host_unknown", "the host cannot be found")
    if not all(_is_permitted(target.host, ip_address(address)) for address in addresses):
        raise UrlNotAllowed("address_not_public", "the host is not on the public internet")
    return addresses


def _is_permitted(host: str, address: IPv4Address | IPv6Address) -> bool:
    for entry in get_settings().webhook_allowed_networks:
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
        return None  # a host's name
