"""URLs that a webhook may have."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from core import settings, webhooks
from core.errors import ValidationFailed
from core.webhooks.ssrf_guard import Target, parse, resolve

Allow = Callable[..., None]


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    settings.get_settings.cache_clear()
    yield
    settings.get_settings.cache_clear()


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Allow:
    def allow(*entries: str) -> None:
        networks = ",".join(f'"{entry}"' for entry in entries)
        monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOWED_NETWORKS", f"[{networks}]")
        settings.get_settings.cache_clear()

    return allow


def fail_to_resolve(host: str, port: int) -> Sequence[str]:
    raise AssertionError("no address may be resolved")


def get_error_code(url: str, *addresses: str) -> str:
    with pytest.raises(ValidationFailed) as raised:
        webhooks.check_url(
            url, pointer="/url", tenant_id="x", resolve=lambda _host, _port: addresses
        )
    (field_error,) = raised.value.field_errors
    assert field_error.pointer == "/url"
    for address in addresses:
        assert address not in str(raised.value.to_problem())
    return field_error.code


PRIVATE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1"),  # noqa: S104 - rejected
    *("100.100.100.200", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("168.63.129.16", "5f00::1"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::"),
    *("3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1"),
    *("ff02::1", "4000::1"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_host_that_is_not_on_the_public_internet_is_rejected(address: str) -> None:
    assert get_error_code("https://hooks.example.com/", address) == "address_not_public"
    assert (
        get_error_code("https://hooks.example.com/", "93.184.216.34", address)
        == "address_not_public"
    )


@pytest.mark.parametrize("address", [address for address in PRIVATE if "%" not in address])
def test_a_private_address_as_the_host_is_rejected(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ValidationFailed) as raised:
        webhooks.check_url(
            f"https://{host}/", pointer="/url", tenant_id="x", resolve=fail_to_resolve
        )
    assert raised.value.field_errors[0].code == "address_not_public"


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "0177.0.0.1", "017700000001"),
        *("127.1", "127.0.1", "127.0.0.1.", "127.0.0.01", "127.0.0.0x1", "1.2.3.4.5", "0", "0x"),
        *("256.1.1.1", "foo.1", "[127.0.0.1]", "[::1%25lo]", "[::1", "::1", "[]", "[::1]x"),
        *(
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "\uff11\uff12\uff17.0.0.1",
            "%31%32%37.0.0.1",
            "loc\tal",
            "a b",
        ),
        *("", ".", "..", "a..b", ".a", "a.", "-a", "a-", "a" * 64, "a." * 127 + "aa"),
        *("user@127.0.0.1", "user:pass@example.com", "example.com@127.0.0.1", "a\\b", "a#b"),
        *("example.com:0", "example.com:65536", "example.com:99999", "example.com:x", "a:", "a:b"),
    ],
)
def test_an_unusual_spelling_of_a_host_is_rejected_without_a_lookup(host: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        webhooks.check_url(
            f"https://{host}/", pointer="/url", tenant_id="x", resolve=fail_to_resolve
        )
    assert raised.value.field_errors[0].code == "url_invalid"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/"),
        *("javascript:alert(1)", "example.com", "https:/example.com", "https:example.com"),
        *("https://example.com/\r\nX: y", "https://example.com/\n", " https://example.com/"),
        *("https://example.com/ü", "https://example.com/a b", "https://example.com/#x"),
        *(
            "https://example.com\\@127.0.0.1/",
            "https://example.com/\\x",
            "https://example.com/\x00",
        ),
    ],
)
def test_an_invalid_url_is_rejected_without_a_lookup(url: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        webhooks.check_url(url, pointer="/url", tenant_id="x", resolve=fail_to_resolve)
    assert raised.value.field_errors[0].code == "url_invalid"


def test_http_is_rejected_unless_the_operator_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_error_code("http://example.com/", "93.184.216.34") == "scheme_not_allowed"
    monkeypatch.setenv("SEMBLANCE_WEBHOOK_ALLOW_HTTP", "true")
    settings.get_settings.cache_clear()
    assert parse("http://example.com/") == Target("http", "example.com", 80, "/")


def test_a_host_without_an_address_is_rejected() -> None:
    assert get_error_code("https://nothing.example.com/") == "host_unknown"


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "168.63.129.17", "2606:4700::1111", "2a00:1450::1"]
)
def test_a_public_host_is_accepted(address: str) -> None:
    webhooks.check_url(
        "https://example.com", pointer="/url", tenant_id="x", resolve=lambda *_: [address]
    )
    host = f"[{address}]" if ":" in address else address
    webhooks.check_url(
        f"https://{host}:8443/", pointer="/url", tenant_id="x", resolve=fail_to_resolve
    )


def test_the_resolver_gets_the_host_in_lower_case_and_the_port() -> None:
    requests = []

    def resolve_public(host: str, port: int) -> Sequence[str]:
        requests.append((host, port))
        return ["93.184.216.34"]

    webhooks.check_url(
        "HTTPS://Hooks.Example.COM:8443/A?b", pointer="/url", tenant_id="x", resolve=resolve_public
    )
    assert requests == [("hooks.example.com", 8443)]


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://h.example", Target("https", "h.example", 443, "/"), "h.example"),
        ("https://h.example:443/a", Target("https", "h.example", 443, "/a"), "h.example"),
        ("https://h.example:80?q=1", Target("https", "h.example", 80, "/?q=1"), "h.example:80"),
        ("https://[2606::1]:8443/", Target("https", "2606::1", 8443, "/"), "[2606::1]:8443"),
        ("https://h.example/%0d%0a", Target("https", "h.example", 443, "/%0d%0a"), "h.example"),
    ],
)
def test_a_url_is_parsed_into_its_target(url: str, target: Target, authority: str) -> None:
    assert parse(url) == target
    assert target.authority == authority


def test_an_operator_can_allow_networks_and_host_names(allow: Allow) -> None:
    allow("10.1.0.0/16", "Hooks.Internal", "fd00::/8")
    webhooks.check_url(
        "https://a.example", pointer="/url", tenant_id="x", resolve=lambda *_: ["10.1.2.3"]
    )
    webhooks.check_url("https://10.1.0.0", pointer="/url", tenant_id="x", resolve=fail_to_resolve)
    webhooks.check_url(
        "https://a.example", pointer="/url", tenant_id="x", resolve=lambda *_: ["fd00::1"]
    )
    webhooks.check_url(
        "https://hooks.internal", pointer="/url", tenant_id="x", resolve=lambda *_: ["10.9.9.9"]
    )
    assert get_error_code("https://a.example", "10.2.0.1") == "address_not_public"
    assert get_error_code("https://a.hooks.internal", "10.9.9.9") == "address_not_public"
    assert get_error_code("https://a.example", "::ffff:10.1.2.3") == "address_not_public"
    assert get_error_code("https://a.example", "10.1.2.3", "127.0.0.1") == "address_not_public"


def test_the_system_resolver_finds_localhost_and_returns_nothing_for_an_unknown_host() -> None:
    assert "127.0.0.1" in resolve("localhost", 80)
    assert list(resolve("nothing.invalid", 80)) == []
