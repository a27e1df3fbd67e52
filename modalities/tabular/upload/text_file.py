"""Text files: encoding detection and decoding in chunks."""

import codecs
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from core.datasets.errors import printable
from core.datasets.stream import Reader
from modalities.tabular.upload.raw_table import table_error

CHUNK_BYTES = 256 * 1024

Opener = Callable[[], AbstractContextManager[Reader]]

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Spreadsheets write Windows-1252, which has more characters than Latin-1.
_WESTERN = "cp1252"


@dataclass(frozen=True)
class TextFile:
    name: str
    open: Opener
    encoding: str

    def chunks(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)("strict")
        with self.open() as reader:
            while data := reader.read(CHUNK_BYTES):
                yield self._decode(decoder, data)
            yield self._decode(decoder, b"", final=True)

    def _decode(
        self, decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False
    ) -> str:
        try:
            text = decoder.decode(data, final)
        except UnicodeDecodeError as error:
            message = f"{printable(self.name)} is not valid {self.encoding}; save it as UTF-8."
            raise table_error("encoding_invalid", message) from error
        if "\0" in text:
            message = f"{printable(self.name)} holds NUL characters; export it again as UTF-8 text."
            raise table_error("nul_character", message)
        return text

    @property
    def note(self) -> str | None:
        """A note for the client if the encoding is a guess."""
        if self.encoding.startswith("utf"):
            return None
        return (
            "The text is not UTF-8 and was read as Windows-1252 (Western European); if letters "
            "look wrong, save it as UTF-8."
        )


def open_text_file(name: str, opener: Opener) -> TextFile:
    """Detect the encoding by reading the whole file."""
    with opener() as reader:
        head = reader.read(4096)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return TextFile(name, opener, encoding)
    if utf16 := _detect_utf16(head):
        return TextFile(name, opener, utf16)
    return TextFile(name, opener, "utf-8" if _is_utf8(opener) else _detect_western(opener))


def _detect_utf16(head: bytes) -> str | None:
    """Detect UTF-16 without a byte order mark: in mostly Latin text, every second byte is 0."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    if odd > 0.4 * half and not even:
        return "utf-16-le"
    if even > 0.4 * half and not odd:
        return "utf-16-be"
    return None


def _is_utf8(opener: Opener) -> bool:
    return _decodes(opener, "utf-8")


def _detect_western(opener: Opener) -> str:
    """Return Windows-1252, or Latin-1 if the text has one of the five bytes undefined there."""
    return _WESTERN if _decodes(opener, _WESTERN) else "latin-1"


def _decodes(opener: Opener, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    with opener() as reader:
        try:
            while data := reader.read(CHUNK_BYTES):
                decoder.decode(data)
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            return False
    return True
