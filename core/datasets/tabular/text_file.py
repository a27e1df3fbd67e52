"""The text of a file: which encoding it is in, and its characters, a chunk at a time."""

import codecs
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from core.datasets.errors import printable
from core.datasets.stream import Reader
from core.datasets.tabular.raw_table import table_error

CHUNK_BYTES = 256 * 1024

Opener = Callable[[], AbstractContextManager[Reader]]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Windows' Latin alphabet, which has more characters than Latin-1 and is what spreadsheets write.
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
            message = f"{printable(self.name)} is not {self.encoding} throughout; save it as UTF-8"
            raise table_error("encoding_invalid", message) from error
        if "\0" in text:
            message = f"{printable(self.name)} holds NUL characters; export it again as UTF-8 text"
            raise table_error("nul_character", message)
        return text

    @property
    def note(self) -> str | None:
        """What a client should know of a guess."""
        if self.encoding.startswith("utf"):
            return None
        return (
            "The text is not UTF-8 and was read as Windows-1252 (Western European); if letters "
            "look wrong, save it as UTF-8."
        )


def open_text_file(name: str, opener: Opener) -> TextFile:
    """Finds the encoding by reading all of it."""
    with opener() as reader:
        head = reader.read(4096)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return TextFile(name, opener, encoding)
    if wide := _utf16(head):
        return TextFile(name, opener, wide)
    return TextFile(name, opener, "utf-8" if _is_utf8(opener) else _western(opener))


def _utf16(head: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of mostly Latin text is 0."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    if odd > 0.4 * half and not even:
        return "utf-16-le"
    if even > 0.4 * half and not odd:
        return "utf-16-be"
    return None


def _is_utf8(opener: Opener) -> bool:
    return _decodes(opener, "utf-8")


def _western(opener: Opener) -> str:
    """Latin-1 takes the five bytes that Windows-1252 leaves out."""
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
