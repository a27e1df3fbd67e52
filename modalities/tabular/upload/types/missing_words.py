"""Words for missing values in any column: those that a client states, or signs of databases."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from modalities.tabular.upload.raw_table import MAX_EXAMPLES
from modalities.tabular.word_set import WordSet

# Texts that mean a missing value in every column. Words such as NA may be categories; type
# inference reads them as missing among numbers and times.
_NULL_SIGNS = ("\\N", "<NA>", "<NULL>", "<null>", "(null)", "(NULL)", "#N/A", "#NULL!")


class MissingWords:
    """Replaces the stated words, or else the signs of databases, by null and counts them."""

    def __init__(self, stated: Sequence[str]) -> None:
        self._stated = stated
        words = stated or _NULL_SIGNS
        types = (pa.string(), pa.int64(), pa.float64())
        self._words = {arrow_type: _words_of_type(words, arrow_type) for arrow_type in types}
        self.by_column: dict[str, Counter[str]] = {}

    def replace(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = zip(batch.schema.names, batch.columns, strict=True)
            arrays = [self._replace(name, values) for name, values in columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=batch.schema)

    def _replace(self, name: str, values: pa.Array) -> pa.Array:
        words = self._words.get(values.type)
        if words is None:
            return values
        if isinstance(words, WordSet):
            matches = words.contains(values)
        else:
            matches = pc.is_in(values, value_set=words).fill_null(False)
        if not matches.true_count:
            return values
        for item in pc.value_counts(values.filter(matches)).to_pylist():
            self.by_column.setdefault(name, Counter())[str(item["values"])] += item["counts"]
        return pc.if_else(matches, pa.scalar(None, values.type), values)

    def words(self) -> list[str]:
        """Return the stated words, or the signs that occurred."""
        return list(self._stated) or sorted(self._used)

    @property
    def _used(self) -> set[str]:
        return {word for counts in self.by_column.values() for word in counts}

    def issues(self) -> list[Issue]:
        """Return what was replaced, and the words that never occurred."""
        issues = []
        if self.by_column:
            replaced = [
                (count, name, word)
                for name, counts in self.by_column.items()
                for word, count in counts.items()
            ]
            replaced.sort(key=lambda item: -item[0])
            examples = tuple(
                f"{printable(name)}: {printable(word)} in {count:,} rows"
                for count, name, word in replaced[:MAX_EXAMPLES]
            )
            total = sum(count for count, _, _ in replaced)
            hint = (
                "These words were read as missing values. Set `read.missing` to other words if "
                "they are values."
            )
            issues.append(Issue("missing_words", "info", total, examples, hint))
        unused = tuple(printable(word) for word in self._stated if not _occurs(word, self._used))
        if unused:
            hint = "No cell holds these words of `read.missing`; check their spelling."
            issues.append(
                Issue("missing_words_unused", "warning", len(unused), unused[:MAX_EXAMPLES], hint)
            )
        return issues


def _words_of_type(words: Sequence[str], arrow_type: pa.DataType) -> WordSet | pa.Array | None:
    """Return the words as values of a column; None if none can occur in it."""
    if arrow_type == pa.string():
        return WordSet(word.strip() for word in words)
    numbers = [number for number in map(_number, words) if number is not None]
    if arrow_type == pa.int64():
        numbers = [number for number in numbers if number.is_integer() and abs(number) < 2**63]
        return pa.array([int(number) for number in numbers]) if numbers else None
    return pa.array(numbers) if numbers and arrow_type == pa.float64() else None


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _occurs(word: str, used: set[str]) -> bool:
    return word.strip() in used or any(_number(word) == _number(u) is not None for u in used)
