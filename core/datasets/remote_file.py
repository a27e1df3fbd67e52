"""Files at URLs of hosts that the operator allows, as sources of datasets.

Like webhooks, this connects only to addresses that have been checked
(`core/webhooks/ssrf_guard.py`). Redirects are followed to allowed hosts only.
"""

import posixpath
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpcore2

from core.datasets.peek import PEEK_BYTES, Peek
from core.errors import TooLarge, Unavailable, ValidationFailed
from core.settings import get_settings
from core.webhooks import ssrf_guard
from core.webhooks.http_client import Timeouts, get
from core.webhooks.ssrf_guard import Target, UrlNotAllowed

MAX_REDIRECTS = 3
REDIRECTS = {301, 302, 303, 307, 308}
PEEK_TIMEOUTS = Timeouts(connect_s=5.0, total_s=10.0)
_CONTENT_RANGE = re.compile(rb"bytes \d+-\d+/(\d{1,18})")
_LENGTH = re.compile(rb"(\d{1,18})")


def peek(url: str) -> Peek:
    """Return the name, the size and parts of the file, which are read when they are needed.

    A server without ranges of bytes gives only the start of the file. If it does not announce the
    size, that is the size of what was read.

    Raises:
        ValidationFailed: The URL is not allowed, or does not have a file.
    """
    head, size = _read_range(url, 0, PEEK_BYTES)

    def read(start: int, end: int) -> bytes:
        if end <= len(head) or start >= size:
            return head[start:end]
        return _read_range(url, start, end)[0]

    name = posixpath.basename(unquote(urlsplit(url).path))
    return Peek(name[:256] or "download", size, read)


def _read_range(url: str, start: int, end: int) -> tuple[bytes, int]:
    """Return bytes of the file, b"" if the server has no ranges, and the size of the file."""
    with _open(url, PEEK_TIMEOUTS, {"Range": f"bytes={start}-{end - 1}"}) as response:
        if response.status != 206 and start:
            return b"", 0
        content = b""  # at most one chunk longer than the range
        try:
            for chunk in response.iter_stream():
                content += chunk
                if len(content) >= end - start:
                    break
        except (OSError, httpcore2.ProtocolError) as error:
            raise _reject("url_unreadable", "The URL does not send the whole file.") from error
        match = _CONTENT_RANGE.fullmatch(_header(response, b"content-range")) or _LENGTH.fullmatch(
            _header(response, b"content-length")
        )
    content = content[: end - start]
    return content, int(match[1]) if match else len(content)


def download(url: str, path: Path, on_chunk: Callable[[], None]) -> None:
    """Write the file to `path`, and call `on_chunk` after each part of it.

    Raises:
        ValidationFailed: The URL is not allowed, or does not have a file.
        TooLarge: The file has more than `upload_bytes`.
        Unavailable: The connection or the server failed.
    """
    limit, size = get_settings().limits.upload_bytes, 0
    timeouts = Timeouts(total_s=get_settings().ingest_timeout_seconds)
    try:
        with _open(url, timeouts, {}) as response, path.open("wb") as out:
            for chunk in response.iter_stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"A file may have at most {limit} bytes.", limit=limit)
                out.write(chunk)
                on_chunk()
    except (httpcore2.ProtocolError, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise Unavailable("The download of the URL broke off.", code="url_unreadable") from error


@contextmanager
def _open(url: str, timeouts: Timeouts, headers: dict[str, str]) -> Iterator[httpcore2.Response]:
    """Send GET and follow redirects. Raises ValidationFailed for other answers than a file."""
    for _ in range(MAX_REDIRECTS + 1):
        target = _parse(url)
        try:
            addresses = ssrf_guard.allowed_addresses(
                target, ssrf_guard.resolve, get_settings().dataset_url_hosts
            )
        except UrlNotAllowed as error:
            raise _reject(error.code, str(error)) from error
        with ExitStack() as stack:
            try:
                response = stack.enter_context(get(target, addresses, headers, timeouts))
            except (OSError, httpcore2.ProtocolError) as error:
                raise _reject("url_unreadable", "The URL does not answer.") from error
            location = _header(response, b"location")
            if response.status in REDIRECTS and location:
                url = urljoin(url, location.decode("ascii", "replace"))
                continue
            if response.status not in {200, 206}:
                message = f"The URL answered with status {response.status}."
                raise _reject("url_unreadable", message)
            yield response
            return
    raise _reject("url_unreadable", f"The URL redirects more than {MAX_REDIRECTS} times.")


def _header(response: httpcore2.Response, name: bytes) -> bytes:
    """Return the value of a header, b"" if it is missing."""
    return next((value for key, value in response.headers if key.lower() == name), b"")


def _parse(url: str) -> Target:
    settings = get_settings()
    try:
        target = ssrf_guard.parse(url, allow_http=settings.dataset_url_allow_http)
    except UrlNotAllowed as error:
        raise _reject(error.code, str(error)) from error
    if not {"*", target.host} & {host.lower() for host in settings.dataset_url_hosts}:
        raise _reject(
            "host_not_allowed",
            "The server does not fetch datasets from this host. Its setting `dataset_url_hosts` "
            "lists the allowed hosts.",
        )
    return target


def _reject(code: str, message: str) -> ValidationFailed:
    return ValidationFailed.of_field("/url", code, message, code=code)
