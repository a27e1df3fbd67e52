"""Text files: decoding in chunks, and the choice of the encoding."""

import codecs
import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.datasets.stream import Reader, read_up_to
from modalities.tabular.upload.files.encoding import UTF8, detect_unicode, guess_encodings
from modalities.tabular.upload.files.encoding_doubts import guessed_encoding_issue
from modalities.tabular.upload.raw_table import table_error

CHUNK_BYTES = 256 * 1024

_SAMPLE_BYTES = 4096  # of the beginning, and of each part with other bytes than ASCII
_SAMPLE_PARTS = 16

MIXED = "cp1252-letters"  # error handler: reads bytes that are not UTF-8 as Windows-1252
MAX_MIXED = 0.1  # of the letters of UTF-8
_UTF8_LETTER = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")

Opener = Callable[[], AbstractContextManager[Reader]]


@dataclass(frozen=True)
class TextFile:
    """A text file and its encoding. `guess` is the issue that names it if it is a guess."""

    name: str
    open: Opener
    encoding: str
    guess: Issue | None = None
    errors: str = "strict"  # or the error handler of UTF-8 with a few Windows-1252 letters

    def chunks(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding)(self.errors)
        with self.open() as reader:
            while data := reader.read(CHUNK_BYTES):
                yield self._decode(decoder, data)
            yield self._decode(decoder, b"", final=True)

    def lines(self) -> Iterator[str]:
        """Yield the lines with their ends, which may be of any kind."""
        rest = ""
        for chunk in self.chunks():
            # The last line may go on, or end with the first half of a line end.
            *complete, rest = list(io.StringIO(rest + chunk, newline="")) or [""]
            yield from complete
        if rest:
            yield rest

    def _decode(
        self, decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False
    ) -> str:
        try:
            text = decoder.decode(data, final)
        except UnicodeDecodeError as error:
            message = (
                f"{printable(self.name)} is not valid {self.encoding}; save it as UTF-8, or set "
                "`read.encoding`."
            )
            raise table_error("encoding_invalid", message) from error
        if "\0" in text:
            message = f"{printable(self.name)} holds NUL characters; export it again as UTF-8 text."
            raise table_error("nul_character", message)
        return text

    @property
    def note(self) -> str | None:
        """A note for the client if the encoding is a guess."""
        if self.errors == MIXED:
            return (
                "The text is UTF-8, but some letters are not and were read as Windows-1252; save "
                "the file as UTF-8 if letters look wrong."
            )
        if self.guess is None:
            return None
        label = {"cp1252": "Windows-1252 (Western European)"}.get(self.encoding, self.encoding)
        return (
            f"The text is not UTF-8 and was read as {label}; if letters look wrong, set "
            "`read.encoding`, or save it as UTF-8."
        )


def open_text_file(name: str, opener: Opener, encoding: str | None) -> TextFile:
    """Detect the encoding by reading the whole file, unless the client states it."""
    with opener() as reader:
        head = read_up_to(reader, _SAMPLE_BYTES)
    unicode_encoding = detect_unicode(head)
    if encoding is not None:
        # Python's decoders of "utf-8" and "utf-16-le" do not remove the byte order mark.
        if unicode_encoding and codecs.lookup(encoding).name.startswith("utf"):
            return TextFile(name, opener, unicode_encoding)
        return TextFile(name, opener, encoding)
    if unicode_encoding or _decodes(opener, UTF8):
        return TextFile(name, opener, unicode_encoding or UTF8)
    if _is_mostly_utf8(opener):
        return TextFile(name, opener, UTF8, errors=MIXED)
    sample = _non_ascii_sample(opener)
    guesses = guess_encodings(sample)
    best = next(guess for guess in guesses if _decodes(opener, guess))
    return TextFile(name, opener, best, guessed_encoding_issue(sample, best, guesses))


def _is_mostly_utf8(opener: Opener) -> bool:
    """Return True if the text is UTF-8 except for a few letters, as in files joined of several."""
    valid = invalid = 0
    with opener() as reader:
        while data := reader.read(CHUNK_BYTES):
            valid += len(_UTF8_LETTER.findall(data))
            invalid += len(_HIGH_BYTE.findall(_UTF8_LETTER.sub(b"", data)))
    return invalid <= MAX_MIXED * valid


def _read_as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(MIXED, _read_as_cp1252)


def _non_ascii_sample(opener: Opener) -> bytes:
    """Return parts of the file around bytes that are not ASCII, in whole lines."""
    parts: list[bytes] = []
    with opener() as reader:
        while len(parts) < _SAMPLE_PARTS and (data := reader.read(CHUNK_BYTES)):
            lines = [line for line in data.splitlines(keepends=True) if not line.isascii()]
            if lines:
                parts.append(b"".join(lines)[:_SAMPLE_BYTES])
    return b"".join(parts)


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
