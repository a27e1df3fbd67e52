"""Ways in which a value can be a part of the text of another column.

For example, the initial of a name is part of an e-mail address, and the year of a date is part of
an order number.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from models.tabular.categorical_columns import as_text

TextFunction = Callable[[pa.Array], pa.Array]


def _in_ascii(mark: str) -> TextFunction:
    """Return a function of texts: their words in small ASCII letters, with `mark` between them."""

    def convert(texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        words = [_ascii_words(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(map(mark.join, words), pa.string()).take(encoded.indices)

    return convert


def _ascii_words(text: str) -> list[str]:
    if text.isascii() and text.isalnum():
        return [text.lower()]
    decomposed = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS))
    plain = decomposed.encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", plain.replace("'", ""))


def _without_accents(texts: pa.Array) -> pa.Array:
    """Return the texts with plain letters, such as `Malaga` of `Málaga`, in the same case."""
    encoded = texts.dictionary_encode()
    plain = [
        text
        if text is None or text.isascii()
        else "".join(
            letter
            for letter in unicodedata.normalize("NFD", text.translate(_PLAIN_LETTERS))
            if not unicodedata.combining(letter)
        )
        for text in encoded.dictionary.to_pylist()
    ]
    return pa.array(plain, pa.string()).take(encoded.indices)


def _initials(words: int | None) -> TextFunction:
    """Return a function of texts: the first letters of all or some words, in capitals."""

    def convert(texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        letters = [
            "".join(word[0] for word in text.split()[:words]).upper()
            for text in encoded.dictionary.to_pylist()
        ]
        return pa.array(letters, pa.string()).take(encoded.indices)

    return convert


def _with_marks(mark: str) -> TextFunction:
    """Return a function of texts: their letters and digits, with `mark` for other characters."""

    def convert(texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        marked = (_MARKS.sub(mark, text) for text in encoded.dictionary.to_pylist())
        return pa.array(marked, pa.string()).take(encoded.indices)

    return convert


def _words(begin: int | None, end: int | None, *, in_ascii: bool = False) -> TextFunction:
    """Return a function of texts: some of their words; a single word is both first and last."""

    def convert(texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        words = (text.split() for text in encoded.dictionary.to_pylist())
        chosen = [" ".join(each[begin:end] or each) for each in words]
        if in_ascii:
            chosen = ["".join(_ascii_words(text)) for text in chosen]
        return pa.array(chosen, pa.string()).take(encoded.indices)

    return convert


def _with_blank(texts: pa.Array, *, before: bool) -> pa.Array:
    """Return the texts with a blank, and nothing instead of missing ones, such as middle names."""
    blank = pa.scalar(" ")
    parts = (blank, texts) if before else (texts, blank)
    return pc.binary_join_element_wise(*parts, "").fill_null("")


_MARKS = re.compile(r"[\W_]+")
_LETTERS = str.maketrans(
    {"\u00df": "ss", "\u00f8": "o", "\u00e6": "ae", "\u0142": "l", "\u2019": "'"}
)
_PLAIN_LETTERS = _LETTERS | str.maketrans({"\u00d8": "O", "\u00c6": "AE", "\u0141": "L"})
SAME, REST = "same", "rest"
FIRST_WORDS, LAST_WORD = "first_words", "last_word"  # of a name, without and with the last one
TEXT_WAYS: dict[str, TextFunction] = {
    SAME: lambda texts: texts,
    "lower": pc.utf8_lower,
    "upper": pc.utf8_upper,
    "initial": lambda texts: pc.utf8_slice_codeunits(texts, 0, 1),
    "lower_initial": lambda texts: pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, 1)),
    "initials": _initials(None),  # DVH of Darrin Van Huff
    "two_initials": _initials(2),
    "plain": _without_accents,
    "ascii": _in_ascii(""),  # obrien of O'Brien
    "ascii-": _in_ascii("-"),
    "ascii.": _in_ascii("."),
    "ascii_": _in_ascii("_"),
    "marks": _with_marks(""),  # AB123 of AB-123
    "marks-": _with_marks("-"),
    "marks/": _with_marks("/"),
    "marks_": _with_marks("_"),
    "before_blank": partial(_with_blank, before=False),
    "after_blank": partial(_with_blank, before=True),
    FIRST_WORDS: _words(None, -1),
    LAST_WORD: _words(-1, None),
    "ascii_first_word": _words(None, 1, in_ascii=True),
    "ascii_last_word": _words(-1, None, in_ascii=True),
}
NUMBER_WAYS = {f"width{width}": width for width in (2, 3, 4, 5)}  # 007 of 7
OPTIONAL_WAYS = ("before_blank", "after_blank")  # of texts that may be missing
DATE_WAYS = (
    "%Y%m%d",
    "%y%m%d",
    "%d%m%Y",
    "%m%d%Y",
    "%d%m%y",
    "%m%d%y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y-%m",
    "%Y%m",
    "%m%Y",
    "%y%m",
    "%m%y",
    "%m%d",
    "%y%j",
    "%Y",
    "%y",
    "%m",
    "%d",
    "%j",
    "%H%M%S",
    "%H%M",
    "%H",
    "%M",
    "%S",
)
CODE = "code of "  # and the way whose texts have codes
CODE_DATE_WAYS = ("%Y", "%m", "%Y-%m")  # such as those of financial years


def _digits(code: re.Match[str]) -> str:
    """Return the pattern of the digits of a code of strftime."""
    count = {"%Y": 4, "%j": 3}.get(code[0], 2)
    return rf"\d{{{count}}}"


FULL_DATE_WAYS = tuple(way for way in DATE_WAYS if {*"md"} < {*way} and {*"yY"} & {*way})
PART_PATTERNS = {
    **{way: re.sub("%.", _digits, way) for way in DATE_WAYS},
    **{way: rf"\d{{{width},}}" for way, width in NUMBER_WAYS.items()},
    LAST_WORD: r"\S+",
    "initial": ".",
    "lower_initial": ".",
    "initials": r"\S+?",
    "two_initials": r"\S{1,2}",
    "before_blank": "(?:.+? )?",
    "after_blank": "(?: .+?)?",
}
WORD_WAYS = {FIRST_WORDS, LAST_WORD, "ascii_first_word", "ascii_last_word"}
MARK_WAYS = {way for way in TEXT_WAYS if way.startswith("marks")}
INITIALS = {"initial", "lower_initial", "initials", "two_initials"}
WHOLE_WAYS = {*TEXT_WAYS, *NUMBER_WAYS, *DATE_WAYS} - INITIALS


def text_in_way(values: pa.Array, way: str) -> pa.Array:
    """Return the texts of the values, in one of TEXT_WAYS, NUMBER_WAYS or DATE_WAYS."""
    if way.startswith("%"):
        if pa.types.is_timestamp(values.type):  # %S would have the fraction
            seconds = pa.timestamp("s", values.type.tz)
            values = pc.floor_temporal(values, unit="second").cast(seconds)
        return pc.strftime(values, format=way)
    if way in NUMBER_WAYS:
        return pc.utf8_lpad(as_text(values), NUMBER_WAYS[way], "0")
    return as_text(values) if way == REST else TEXT_WAYS[way](as_text(values))
