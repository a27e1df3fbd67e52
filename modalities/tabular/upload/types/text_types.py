"""Inference of the type of a column of texts that are neither numbers nor times."""

import re
from collections.abc import Collection, Sequence

from modalities.tabular import type_casting
from modalities.tabular.schema import PERSONAL_KINDS, Column
from modalities.tabular.upload.types.code_columns import is_public_code
from modalities.tabular.upload.types.column_stats import ProseStats, ValueCounts
from modalities.tabular.upload.types.identifier_kinds import (
    EAST_ASIAN_NAME,
    EXPLICIT_NAME,
    MAX_EXAMINED,
    MIN_DISTINCT_OF_FEW,
    MIN_ID_ROWS,
    are_given_names,
    are_urls,
    have_some_people,
    is_nearly_unique,
    is_personal,
    kind_of_texts,
    says_people,
)
from modalities.tabular.upload.types.integer_identifiers import ID_NAME
from modalities.tabular.upload.types.molecule_notation import are_molecules
from modalities.tabular.upload.types.ordered_categories import (
    are_answers,
    are_groups,
    are_symbols,
)
from modalities.tabular.upload.types.quantities import are_quantities, have_shared_shapes
from models.tabular.identifiers.date_texts import Dates
from models.tabular.identifiers.lists import Lists
from models.tabular.identifiers.things.things import MAX_WORDS, are_sentences, have_few_shapes
from models.tabular.identifiers.words.public_words import MAX_LISTED, are_listed

# Free text has on average more characters, or at least this many spaces.
_MIN_PROSE_CHARS = 40
_MIN_PROSE_SPACES = 3
_MIN_RARE = 0.8  # share of different texts that occur once, of prose among other texts
_MAX_TITLE_CHARS, _MAX_TITLE_SPACES = 60, 9  # of names of things, such as titles
_MAX_CATEGORY_DISTINCT = 0.5  # up to this fraction of different values, long texts are a category
# Values of people, fewer than MIN_ID_ROWS, and their share of the rows.
MIN_FEW, MIN_DISTINCT_PEOPLE = 5, 0.4
_MIN_WITHOUT_NOTE, _MIN_NOTE_CHARS = 20, 12  # rows without a note for each one; mean length
_DESCRIPTION_NAME = re.compile(
    r"(?i)descri[pb]|beschreibung|comment|kommentar|commentaire|remark|bemerkung|summary|abstract|"
    r"details|message|feedback|narrative|synopsis|(?:^|[\W_])notes?$"
)
_MIN_DESCRIPTION_SPACES, _MIN_SENTENCE_SPACES = 2, 3
_CODE_KINDS = ("uuid", "ip", "iban", "url")
_LONG_CODE, _MIXED = re.compile(r"[\w./:-]{8,}"), re.compile(r"(?=.*\d).*[^\W\d_]")
_JSON = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_MIN_JSON = 0.9  # share of the texts


def infer_text_type(
    name: str,
    counts: ValueCounts,
    prose: ProseStats,
    valid: int,
    categories_max: int,
    others: Collection[str] = (),
) -> Column:
    """Return a boolean, category, id or free-text column; `others` are the other columns."""
    if not valid:
        return Column(name, "category", nullable=True)
    words = {str(value) for value in counts.values} if counts.distinct <= 2 else set()
    pair = type_casting.boolean_format(words)
    if pair is not None and pair.casefold() == "false|true":
        return Column(name, "boolean", format=pair)
    is_prose = prose.mean_chars > _MIN_PROSE_CHARS or prose.mean_spaces >= _MIN_PROSE_SPACES
    distinct = valid if counts.overflowed and counts.all_unique else counts.distinct
    identifier = _infer_identifier(name, counts, distinct, valid, prose, others)
    texts = [str(value) for value in counts.values]
    is_prose = is_prose or _are_sentences(name, texts, prose)
    is_kind = identifier is not None and identifier.format is not None
    is_rare = is_nearly_unique(distinct, valid) or distinct > categories_max
    is_rare = is_rare or (is_prose and distinct >= MIN_ID_ROWS)
    is_listed = are_listed(texts[:MAX_LISTED]) and distinct <= categories_max
    if are_groups(texts) or is_listed or are_symbols(texts) or are_answers(texts):
        return Column(name, "category")
    if is_rare and not is_kind and (column := _infer_notation(name, texts)) is not None:
        return column
    if identifier is not None:
        return identifier
    is_prose_of_few = _is_prose_of_few(name, prose, distinct, valid)
    if is_prose_of_few or _is_free_text(counts, distinct, valid, is_prose=is_prose):
        return _lists_or_free_text(name, texts)
    if counts.overflowed or counts.distinct > categories_max:
        return Column(name, "text" if is_prose else "id", exclude=is_prose)
    are_ids = ID_NAME.search(name) and counts.all_unique and not _are_words(name, texts)
    return Column(name, "id" if are_ids else "category")


def _infer_notation(name: str, texts: Sequence[str]) -> Column | None:
    """Return the column of JSON, molecules or quantities; None for other texts."""
    are_json = _are_json(texts)
    if are_json and have_shared_shapes(texts):
        return Column(name, "id", format="quantity")
    if are_json or are_molecules(name, texts[:MAX_LISTED]):
        return _lists_or_free_text(name, texts)
    if Dates.fit(texts[:MAX_EXAMINED]) is not None:
        return Column(name, "id")
    return Column(name, "id", format="quantity") if are_quantities(texts) else None


def _are_words(name: str, texts: Sequence[str]) -> bool:
    """Return True for words in a column that a program named, such as `Unnamed: 0_y`."""
    return name.casefold().startswith("unnamed") and not any(re.search(r"\d", t) for t in texts)


def _lists_or_free_text(name: str, texts: Sequence[str]) -> Column:
    if are_urls(texts):
        return Column(name, "id", format="url")
    are_lists = Lists.fit(texts) is not None
    return Column(name, "id" if are_lists else "text", exclude=not are_lists)


def _is_free_text(counts: ValueCounts, distinct: int, valid: int, *, is_prose: bool) -> bool:
    many = distinct > _MAX_CATEGORY_DISTINCT * valid
    return (is_prose and valid >= MIN_ID_ROWS and many) or _has_rare_prose(counts)


def _is_prose_of_few(name: str, prose: ProseStats, distinct: int, valid: int) -> bool:
    """Return True for long texts or comments that differ in nearly all of few rows."""
    if not _differ_in_few_rows(distinct, valid):
        return False
    is_comment = _DESCRIPTION_NAME.search(name) and prose.mean_spaces >= _MIN_DESCRIPTION_SPACES
    is_long = prose.mean_chars > _MAX_TITLE_CHARS and prose.mean_spaces >= _MIN_PROSE_SPACES
    return is_long or bool(is_comment)


def are_rare_notes(distinct: int, prose: ProseStats, valid: int, missing: int) -> bool:
    """Return True for texts of some length that few of many rows have, each another one.

    Nothing can be learned from them, and samples would show who they are about. Fewer than MIN_FEW
    must be as long as free text is.
    """
    if missing < _MIN_WITHOUT_NOTE * valid:
        return False
    if _differ_in_few_rows(distinct, valid):
        return prose.mean_chars >= _MIN_NOTE_CHARS
    return 0 < distinct == valid < MIN_FEW and prose.mean_chars > _MIN_PROSE_CHARS


def _differ_in_few_rows(distinct: int, valid: int) -> bool:
    return MIN_FEW <= distinct < MIN_ID_ROWS and distinct >= MIN_DISTINCT_OF_FEW * valid


def _are_json(texts: Sequence[str]) -> bool:
    """Return True for lists and objects, of which no new ones are composed."""
    return sum(_JSON.fullmatch(text) is not None for text in texts) >= _MIN_JSON * len(texts)


def _has_rare_prose(counts: ValueCounts) -> bool:
    """Return True if most of the different texts are long and occur once."""
    if counts.distinct < MIN_ID_ROWS:
        return False
    rare = [str(value) for value, count in counts.values.items() if count == 1]
    chars = sum(map(len, rare)) / max(1, len(rare))
    return len(rare) > _MIN_RARE * len(counts.values) and chars > _MIN_PROSE_CHARS


def _infer_identifier(
    name: str,
    counts: ValueCounts,
    distinct: int,
    valid: int,
    prose: ProseStats,
    others: Collection[str],
) -> Column | None:
    """Return the column of texts that identify rows or people."""
    is_short = prose.mean_chars <= _MAX_TITLE_CHARS and prose.mean_spaces <= _MAX_TITLE_SPACES
    nearly_unique = is_nearly_unique(distinct, valid)
    are_few = MIN_FEW <= distinct < MIN_ID_ROWS and distinct >= MIN_DISTINCT_PEOPLE * valid
    if not (nearly_unique or are_few or is_personal("person", distinct, valid)):
        return None
    texts = [str(value) for value in counts.values]
    if are_listed(texts[:MAX_LISTED]) or is_public_code(name, texts):
        return None
    kind = kind_of_texts(name, texts, others)
    is_named = any(pattern.search(name) for pattern in (EXPLICIT_NAME, EAST_ASIAN_NAME))
    is_explicit = kind != "person" or is_named or says_people(name)
    if are_few and kind in PERSONAL_KINDS and is_explicit:
        return Column(name, "id", format=kind)
    if _differ_in_few_rows(distinct, valid) and (kind in _CODE_KINDS or _are_codes(texts)):
        return Column(name, "id", format=kind)
    if is_personal(kind, distinct, valid) or (nearly_unique and kind is not None):
        return Column(name, "id", format=kind)
    if (are_few or is_personal("person", distinct, valid)) and have_some_people(name, texts):
        return Column(name, "id")
    if not nearly_unique or not (is_short or _are_composed(prose, texts)):
        return None
    if _are_sentences(name, texts, prose):
        return None
    return Column(name, "id", format="person" if are_given_names(texts) else None)


def _are_codes(texts: Sequence[str]) -> bool:
    """Return True for long texts of letters and digits, such as those of participants."""
    mixed = sum(_MIXED.search(text) is not None for text in texts)
    return all(map(_LONG_CODE.fullmatch, texts)) and 2 * mixed > len(texts)


def _are_sentences(name: str, texts: Sequence[str], prose: ProseStats) -> bool:
    """Return True for descriptions, comments and answers, of which no new ones are composed."""
    if _DESCRIPTION_NAME.search(name):
        return prose.mean_spaces >= _MIN_DESCRIPTION_SPACES
    return prose.mean_spaces >= _MIN_SENTENCE_SPACES and are_sentences(texts[:MAX_EXAMINED])


def _are_composed(prose: ProseStats, texts: Sequence[str]) -> bool:
    """Return True for long titles that a program composes, such as `A at B on 2 May (17)`."""
    return prose.mean_spaces <= MAX_WORDS and have_few_shapes(texts[:MAX_EXAMINED])
