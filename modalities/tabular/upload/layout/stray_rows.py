"""Rows of a text file or sheet that are not values: repeated names, headings, totals and notes."""

# ruff: noqa: RUF001 - words of other scripts

import re
from collections.abc import Iterator, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from modalities.tabular.upload.layout.rulers import without_rulers
from modalities.tabular.upload.raw_table import MAX_EXAMPLES
from modalities.tabular.upload.types.value_kinds import is_value

_MAX_END = 60  # rows at the end that may be notes
_MIN_CODE = 8  # letters and digits
_MIN_COLUMNS = 3  # of a table in which a single text is a note or a heading
_MAX_HEADINGS = 0.2  # share of the rows
_TOTAL_WORDS = (
    "total sum summe gesamt gesamtsumme insgesamt totale somme suma soma totaal totalt ergebnis "
    "gesamtergebnis razem celkem spolu toplam"
)
_TOTALS_WITH_OTHER_LETTERS = (  # for which RE2 does not have a boundary of words
    "итог итого всего σύνολο ogółem összesen yhteensä 合计 总计 合計 總計 総計 합계 총계 المجموع "
    "جمع"
)
_TOTAL = (
    rf"(?i:(?:grand|sub|overall)?[ -]*(?:(?:{_TOTAL_WORDS.replace(' ', '|')})s?\b"
    rf"|(?:{_TOTALS_WITH_OTHER_LETTERS.replace(' ', '|')})(?:$|[\s:(：])).{{0,20}})"
)
# Other summaries, next to a total or where the first cell is empty.
_AVERAGE = (
    r"(?i:(?:average|mean|median|count|min|minimum|max|maximum|durchschnitt|mittelwert|anzahl"
    r"|moyenne|media|promedio|média|平均|평균)\W{0,3})"
)
_SUBTOTAL = r"(?i:(?:sub[ -]?total|zwischensumme|sous-total)\b.*)"
_SHARE = re.compile(r"(?i)percent|%|share|anteil|prozent|pourcentage|porcentaje")
_NOTE = re.compile(
    r"(?i)\W*(?:source|notes?|data|last updated|updated|copyright|quelle|anmerkung|hinweis|fuente"
    r"|nota|figures?|excludes?|includes?|see|for more|this|these|please|stand|remarks?|legend|key|"
    r"generated|exported|end of)\b|#|//|[*\u00a9\u2020(\[]|\d+[.)] |\S{1,3}: |\S{1,6} = \S|https?://"
)
_SUM_TOLERANCE = 1e-9
_PLAIN_NUMBER = r"^\s*-?[0-9]+(?:\.[0-9]+)?\s*$"
_SENTENCE = re.compile(r"\W*(?:[^\W\d_]+[\W\d_]+){3}[^\W\d_]")  # four words, in linear time
_LABEL = re.compile(r"[^\W\d_][^:]{0,30}:\s*")


class StrayRows:
    """Filter of batches. `issues` is complete after the last one.

    `names` are the names of the columns as the file states them; [] if it states none.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.issues: list[Issue] = []
        self._names = [name.strip() for name in names]
        self._repeated = 0
        self._held_back: list[pa.RecordBatch] = []
        self._filled: list[bool] = []  # columns that have a value in all rows before the end
        self._sparse = 0  # rows before the end of which only the first cell has a value
        self._summary_words: list[set[str]] = []  # those that earlier rows have, by column
        self._headings: dict[str, None] = {}  # texts above groups of rows
        self._subtotals: list[str] = []
        self._first_totals: list[str] = []
        self._rulers = 0

    def remove(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        is_first = True
        for batch in batches:
            rows = self._without_first_totals(batch) if is_first else batch
            rows, rulers = without_rulers(self._without_headers(rows))
            self._rulers += rulers
            yield from self._hold_back(rows)
            is_first = False
        yield from self._end()

    def _without_first_totals(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Leave out totals and shares above the rows, if no two rows have the same name.

        A total in a later cell is one, too, if only its row lacks the first cell and it has the sum
        of a column: a brand may have the name Total.
        """
        first = batch.column(0)
        if first.null_count == 1 and len(batch) > 1 and not first[0].is_valid:
            cells = _cells(batch.slice(0, 1))
            if any(cells) and _is_new_total(batch, *_first_filled(cells)) and _has_sum(batch):
                self._first_totals = [str(_first_filled(cells)[1])]
                return batch.slice(1)
        if len(batch.columns) < _MIN_COLUMNS or first.type != pa.string() or first.null_count:
            return batch
        names = [name.strip() for name in first.to_pylist()]
        if len(set(names)) < len(names) or not re.fullmatch(_TOTAL, (names or [""])[0]):
            return batch
        count = 1 + (len(names) > 1 and _SHARE.match(names[1]) is not None)
        self._first_totals = names[:count]
        return batch.slice(count)

    def _without_headers(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Leave out rows that repeat the names, which joined files have."""
        types = batch.schema.types
        if not any(self._names) or any(t != pa.string() for t in types):
            return batch
        first = next((i for i, name in enumerate(self._names) if name), 0)
        same = pc.equal(batch.column(first), self._names[first]).fill_null(False)
        if not same.true_count:
            return batch
        for values, name in zip(batch.columns, self._names, strict=True):
            equal = pc.equal(values.fill_null(""), name)
            same = pc.and_(same, equal)
        self._repeated += same.true_count
        return batch.filter(pc.invert(same)) if same.true_count else batch

    def _hold_back(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Hold back the rows at the end of a batch that could be notes, totals, or empty."""
        if not len(batch):
            return
        end = len(batch)
        notes = 0
        while end and notes < _MAX_END and _may_be_stray(batch, end - 1):
            end -= 1
            notes += not self._is_empty(batch, end)
        if end:
            for held in [*self._held_back, batch.slice(0, end)]:
                kept = self._without_groups(held)
                self._count(kept)
                yield kept
            self._held_back = []
        if end < len(batch):
            self._held_back.append(batch.slice(end))

    def _without_groups(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Leave out headings of groups of rows, and the totals of the groups."""
        first = batch.column(0)
        if len(batch.columns) < _MIN_COLUMNS or first.type != pa.string():
            return batch
        stray: set[int] = set()
        if batch.column(1).null_count:
            filled = reduce(pc.or_, [pc.is_valid(column) for column in batch.columns[1:]])
            alone = pc.and_(pc.is_valid(first), pc.invert(filled))
            rows = pc.indices_nonzero(alone).to_pylist()
            texts = [first[i].as_py() for i in rows]
            are_headings = len(rows) <= _MAX_HEADINGS * len(batch) and not any(map(is_value, texts))
            are_headings = are_headings and not _have_one_length(first)
            if are_headings and len(set(texts) - set(self._headings)) == len(texts):
                self._headings.update(dict.fromkeys(texts))
                stray.update(rows)
        pattern = _TOTAL if self._headings else _SUBTOTAL
        totals = pc.indices_nonzero(pc.match_substring_regex(first, rf"^\s*(?:{pattern})\s*$"))
        self._subtotals += [first[i].as_py() for i in totals.to_pylist()]
        stray.update(totals.to_pylist())
        if not stray:
            return batch
        return batch.filter(pa.array([i not in stray for i in range(len(batch))]))

    def _is_empty(self, batch: pa.RecordBatch, row: int) -> bool:
        return not any(column[row].is_valid for column in batch.columns)

    def _count(self, batch: pa.RecordBatch) -> None:
        first = batch.column(0)
        filled_before = self._filled or [True] * len(batch.columns)
        self._filled = [
            before and not column.null_count
            for before, column in zip(filled_before, batch.columns, strict=True)
        ]
        if len(batch.columns) >= _MIN_COLUMNS and batch.column(1).null_count:
            filled = reduce(pc.or_, [pc.is_valid(column) for column in batch.columns[1:]])
            self._sparse += pc.and_(pc.is_valid(first), pc.invert(filled)).true_count
        self._summary_words = self._summary_words or [set() for _ in batch.columns]
        for words, column in zip(self._summary_words, batch.columns, strict=True):
            if column.type == pa.string():
                words.update(_summary_words(column))

    def _end(self) -> Iterator[pa.RecordBatch]:
        """Decide about the rows at the end: yield values, and report the others."""
        kept: list[pa.RecordBatch] = []
        notes: list[str] = []
        totals: list[str] = []
        empty = 0
        rows = [batch.slice(i, 1) for batch in self._held_back for i in range(len(batch))]
        has_gap = any(self._are_notes(_cells(row)) for row in rows)
        for row in rows:
            cells = _cells(row)
            filled = [cell for cell in cells if cell is not None]
            if not filled:
                has_gap = True
                kept.append(row)
            elif len(filled) == 1 and self._is_note(str(filled[0]), has_gap or bool(totals)):
                notes.append(str(filled[0]))
            elif self._are_notes(cells):
                notes.append(" ".join(map(str, filled)))
            elif len(filled) > 1 and self._is_total(cells, totals):
                totals.append(str(filled[0]))
            else:
                kept.append(row)
        while kept and self._is_empty(kept[-1], 0):
            kept.pop()
            empty += 1
        yield from kept
        self._report(notes, totals, empty)

    def _are_notes(self, cells: Sequence[object]) -> bool:
        """Return True for a few words, not all in the first cell, where all rows have values."""
        filled_columns = self._filled or [False] * len(cells)
        always = [
            cell is None for cell, is_filled in zip(cells, filled_columns, strict=True) if is_filled
        ]
        lacks_values = len(always) >= _MIN_COLUMNS and 2 * sum(always) >= len(always)
        is_labelled = any(always) and not filled_columns[0] and _are_labelled(cells)
        return is_labelled or (lacks_values and any(cells[1:]) and _are_few_words(cells))

    def _is_note(self, text: str, follows_gap: bool) -> bool:
        return self._sparse == 0 and (follows_gap or _NOTE.match(text) is not None)

    def _is_total(self, cells: Sequence[object], totals: Sequence[str]) -> bool:
        """Return True for a total, or another summary after one.

        Its label is in the first cell, or in a later one, where all rows have a value in the first
        one. No earlier row has it, or `Total` below an empty cell lacks further values.
        """
        index, text = _first_filled(cells)
        is_new = not self._summary_words or _folded(text) not in self._summary_words[index]
        if index:
            if not (any(self._filled) and self._filled[0]):
                return False
            lacks_others = any(
                cell is None and is_filled
                for cell, is_filled in zip(cells[1:], self._filled[1:], strict=True)
            )
            is_total = _is_label(text, _TOTAL) and (is_new or lacks_others)
            return is_total or (is_new and _is_label(text, _AVERAGE))
        if totals:
            return _is_label(text, _AVERAGE)
        return is_new and _is_label(text, _TOTAL)

    def _report(self, notes: Sequence[str], totals: Sequence[str], empty: int) -> None:
        all_totals = [*self._first_totals, *totals]
        reports = (
            ("repeated_headers", "info", self._repeated, ()),
            ("group_headings", "warning", len(self._headings), tuple(self._headings)),
            ("subtotal_rows", "warning", len(self._subtotals), tuple(self._subtotals)),
            ("total_rows", "warning", len(all_totals), tuple(all_totals)),
            ("footer_lines", "warning", len(notes), tuple(notes)),
            ("empty_rows", "info", empty, ()),
            ("rulers", "info", self._rulers, ()),
        )
        hints = {
            "repeated_headers": "These rows repeat the names of the columns and were left out.",
            "group_headings": "Only the first cell of these rows has a value. They are headings of "
            "the rows below and were left out. If the groups matter, write them into a column.",
            "subtotal_rows": "These rows are totals of the rows above and were left out.",
            "total_rows": "The first or last row is a total of the others and was left out. If "
            "it is not, rename it.",
            "footer_lines": "These lines below the table are not rows and were left out. Add the "
            "missing values if they are rows.",
            "empty_rows": "These rows at the end have no value in any column and were left out.",
            "rulers": "All cells of these rows consist of hyphens or equals signs, as lines of "
            "printed lists do. The rows were left out.",
        }
        for code, severity, count, examples in reports:
            if count:
                shown = tuple(printable(text.strip()) for text in examples[:MAX_EXAMPLES])
                self.issues.append(Issue(code, severity, count, shown, hints[code]))  # type: ignore[arg-type]


def _summary_words(texts: pa.StringArray) -> set[str]:
    """Return the words for a total or an average among the texts."""
    distinct = texts.unique()
    is_summary = pc.match_substring_regex(distinct, rf"^\s*(?:{_TOTAL}|{_AVERAGE})\s*$")
    return set(map(_folded, distinct.filter(is_summary).drop_null().to_pylist()))


def _folded(text: object) -> str:
    return str(text).strip().casefold()


def _have_one_length(texts: pa.Array) -> bool:
    """Return True for long texts of one length, such as hexadecimal codes, and not headings."""
    lengths = pc.min_max(pc.utf8_length(texts)).as_py()
    return lengths["min"] == lengths["max"] and (lengths["min"] or 0) >= _MIN_CODE


def is_note(fields: Sequence[str]) -> bool:
    """Return True for a line that begins with words, a label, a comment mark or `Source`.

    `fields` are its parts between delimiters. Numbers and dates in them show that it is a row with
    too few or too many values, but a note may name one date.
    """
    filled = [field.strip(" \t\"'") for field in fields if field.strip(" \t\"'")]
    if not filled:
        return False
    first, *others = filled
    values = sum(map(is_value, others))
    if _NOTE.match(first):
        return values <= 1
    return not values and any(pattern.match(first) for pattern in (_SENTENCE, _LABEL))


def _cells(row: pa.RecordBatch) -> list[object]:
    return [column[0].as_py() for column in row.columns]


def _are_few_words(cells: Sequence[object]) -> bool:
    """Return True if less than half of the cells of a row have a value, and all are words."""
    filled = [cell for cell in cells if cell is not None]
    are_words = all(isinstance(cell, str) and not is_value(cell) for cell in filled)
    return are_words and len(cells) >= _MIN_COLUMNS and 2 * len(filled) < len(cells)


def _are_labelled(cells: Sequence[object]) -> bool:
    """Return True for words after a label such as `Source:`."""
    if not isinstance(cells[0], str) or not _LABEL.fullmatch(cells[0]):
        return False
    return all(cell is None or (isinstance(cell, str) and not is_value(cell)) for cell in cells)


def _may_be_stray(batch: pa.RecordBatch, row: int) -> bool:
    """Return True for an empty row, a few words, a single text in the first cell, or a total."""
    cells = _cells(batch.slice(row, 1))
    if _are_few_words(cells) or _are_labelled(cells):
        return True
    if all(cell is None for cell in cells[1:]):
        return cells[0] is None or (len(cells) >= _MIN_COLUMNS and isinstance(cells[0], str))
    return _is_label(_first_filled(cells)[1], rf"{_TOTAL}|{_AVERAGE}")


def _first_filled(cells: Sequence[object]) -> tuple[int, object]:
    """Return the index of the first cell that has a value, and the value."""
    return next((i, cell) for i, cell in enumerate(cells) if cell is not None)


def _is_new_total(batch: pa.RecordBatch, column: int, cell: object) -> bool:
    """Return True for a label of a total that no other row of the batch has in the column."""
    return _is_label(cell, _TOTAL) and batch.column(column).to_pylist().count(cell) == 1


def _has_sum(batch: pa.RecordBatch) -> bool:
    """Return True if a number of the first row is at least the sum of the others in its column.

    It is larger than the sum if the table has more rows than the batch.
    """
    for column in batch.columns:
        texts = column.drop_null().cast(pa.string())
        if column[0].is_valid and pc.all(pc.match_substring_regex(texts, _PLAIN_NUMBER)).as_py():
            first, *others = pc.utf8_trim_whitespace(texts).cast(pa.float64()).to_pylist()
            if 0 < sum(others) <= first * (1 + _SUM_TOLERANCE):
                return True
    return False


def _is_label(cell: object, pattern: str) -> bool:
    return isinstance(cell, str) and re.fullmatch(pattern, cell.strip()) is not None
