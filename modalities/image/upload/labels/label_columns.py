"""Search for the columns of a table that hold image names, labels and parts."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from core.datasets.errors import printable
from core.limits import Limits
from modalities.image.upload.labels.label_table import LabelTable, Row, is_number
from modalities.image.upload.labels.split_names import Role, role_of_name, words_of

_PATH_WORDS = frozenset(
    {"path", "file", "filename", "filepath", "filenames", "image", "images", "img", "imagename"}
    | {"photo", "picture", "name", "id", "imageid", "imagepath", "key", "frame", "url"}
    | {"imagen", "archivo", "imagem", "arquivo", "fichier", "datei", "bild", "файл"}
    | {"文件名", "文件", "图片", "图像", "ファイル名", "ファイル", "画像", "파일"}
)
# Earlier words are better: a name says more than a number.
_LABEL_WORDS = (
    (
        *("label", "labels", "target", "targets", "y", "truth", "groundtruth", "etiqueta"),
        *("rotulo", "etiquette", "метка", "标签", "標籤", "ラベル", "라벨"),
    ),
    (
        *("class", "classes", "classname", "category", "categories", "classid", "categoryid"),
        *("clase", "classe", "klasse", "categoria", "categorie", "kategorie", "класс"),
        *("категория", "类别", "類別", "分类", "分類", "クラス", "カテゴリ", "클래스"),
    ),
    ("breed", "species", "diagnosis", "dx", "disease", "emotion", "genre", "variety", "finding"),
    (
        "findings",
        "choice",
        "tag",
        "tags",
        "type",
        "kind",
        "style",
        "brand",
        "digit",
        "letter",
        "character",
    ),
    (
        "symbol",
        "sign",
        "grade",
        "level",
        "outcome",
        "gender",
        "sex",
        "season",
        "color",
        "colour",
        "artist",
    ),
)
_SPLIT_WORDS = frozenset(
    {"split", "set", "subset", "partition", "usage", "dataset", "fold", "part"}
)
_BOX_WORDS = frozenset({"xmin", "ymin", "xmax", "ymax", "bbox", "boundingbox", "bboxes", "boxes"})
SEVERAL_COLUMNS = "has several columns that may hold the label"
SEVERAL_LABELS = "gives several labels to one image; each image can have one label"
_ALL_DIFFER = "every column differs from row to row"
CAPTIONS = f"has texts, but no labels: {_ALL_DIFFER}"
NAMES_NO_IMAGE = "names no image of the archive"
_MIN_SHARE = 0.5  # of the rows must name an image of the archive, for a column without a name
_ONE_HOT_SHARE = 0.9  # of the rows must have exactly one 1


class Columns(NamedTuple):
    """Indices of columns. `one_hot` are the columns of one label each, if `label` is None."""

    path: int
    label: int | None
    one_hot: tuple[int, ...]
    split: int | None
    has_named_path: bool  # the name of the path column says that it holds names of files
    flagged: Role | None = None  # `split` holds 1 for this part and 0 for the other one

    def part_of(self, row: Row) -> Role | None:
        """Return the part that a row of the table names."""
        value = row[self.split] if self.split is not None else None
        if not value:
            return None
        if self.flagged is None:
            return role_of_name(value)
        other: Role = "train" if self.flagged == "test" else "test"
        return self.flagged if _binary(value) else other


class NoLabels(Exception):
    """A table holds no labels of images. The message is a predicate about the file."""


def find_columns(
    table: LabelTable,
    is_image: Callable[[str], bool],
    label_column: str | None,
    limits: Limits,
) -> Columns:
    """Return the columns of `table`.

    `label_column` is the client's choice of the column with the labels.

    Raises NoLabels if there are none.
    """
    rows = table.sample(is_image)
    path = _path_column(table.header, rows, is_image)
    others = [i for i in range(len(table.header)) if i != path]
    named_splits = [i for i in others if _SPLIT_WORDS & set(_column_words(table.header[i]))]
    split = next((i for i in named_splits if _is_split(rows, i)), None)
    flags = {i: role for i in others if (role := _flagged_part(table.header[i], rows, i))}
    flagged = None
    if split is None and flags:
        split, flagged = next(iter(flags.items()))
    others = [i for i in others if i not in named_splits and i not in flags]
    named = _names_files(table.header[path]) == 2
    if label_column is not None:
        label = _chosen_column(table.header, label_column)
        return Columns(path, label, (), split, named, flagged)
    if _has_boxes(table, rows, path):
        raise NoLabels("lists boxes in images; boxes are not labels of images")
    if one_hot := _one_hot_columns(rows, others):
        return Columns(path, None, one_hot, split, named, flagged)
    label = choose_label_column(table.header, rows, others, limits)
    _reject_lists_of_labels([row[label] for row in rows])
    return Columns(path, label, (), split, named, flagged)


def find_label_columns(
    table: LabelTable, is_image: Callable[[str], bool], limits: Limits
) -> dict[str, list[str]]:
    """Return the labels of each column that a client can choose, in the first rows of the table.

    Raises NoLabels if the table does not name images.
    """
    rows = table.sample(is_image)
    path = _path_column(table.header, rows, is_image)
    columns: dict[str, list[str]] = {}
    for i, name in enumerate(table.header):
        values = [row[i] for row in rows]
        if i != path and is_categorical(values, limits):
            columns[name] = sorted({value for value in values if value and value.strip()})
    return columns


def _column_words(name: str) -> list[str]:
    """Return the words of a column name, and all of them as one: `ClassId` is also `classid`."""
    words = words_of(name) + re.findall(r"[^\W\d_]+", name.lower())
    return [*words, "".join(re.findall(r"[^\W\d_]+", name.lower()))]


def _names_files(name: str) -> int:
    """Return 2 for a column name such as `file_name`, 1 for `id` or `name`, 0 for others."""
    words = set(_column_words(name))
    if _rank(name) is not None or not words & _PATH_WORDS:
        return 0
    return 2 if words & _PATH_WORDS - {"id", "name", "key"} else 1


def _path_column(
    header: Sequence[str], rows: Sequence[Row], is_image: Callable[[str], bool]
) -> int:
    counts = [
        sum(bool(row[i]) and is_image(str(row[i])) for row in rows) for i in range(len(header))
    ]
    # Labels such as 0 and 1 may also be names of images, but they repeat.
    distinct = [
        len({row[i] for row in rows if row[i] and is_image(str(row[i]))})
        for i in range(len(header))
    ]
    named = [_names_files(name) for name in header]
    best = max(range(len(header)), key=lambda i: (distinct[i], named[i]), default=None)
    if best is None or not counts[best]:
        raise NoLabels(NAMES_NO_IMAGE)
    if not named[best] and counts[best] < _MIN_SHARE * len(rows):
        raise NoLabels("has no column with the names of the images")
    return best


def _is_split(rows: Sequence[Row], column: int) -> bool:
    values = {str(row[column]) for row in rows if row[column]}
    return bool(values) and all(role_of_name(value) for value in values)


def _flagged_part(name: str, rows: Sequence[Row], column: int) -> Role | None:
    """Return the part of a column such as `is_test`, which holds 0 and 1."""
    role = role_of_name(name)
    values = {_binary(row[column]) for row in rows}
    return role if role in {"train", "test"} and values == {0, 1} else None


def _chosen_column(header: Sequence[str], label_column: str) -> int:
    matches = [i for i, name in enumerate(header) if name.lower() == label_column.strip().lower()]
    if not matches:
        columns = ", ".join(printable(name) for name in header[:10])
        raise NoLabels(f"has no column {printable(label_column)}; its columns are {columns}")
    return matches[0]


def _has_boxes(table: LabelTable, rows: Sequence[Row], path: int) -> bool:
    words = {word for name in table.header for word in _column_words(name)}
    if len(words & _BOX_WORDS) >= 2 or words & {"bbox", "boundingbox", "bboxes"}:
        return True
    if not all(name.isdecimal() for name in table.header):
        return False
    # Several rows per image with four numbers: boxes without a header, as in `val_annotations.txt`.
    images = [row[path] for row in rows]
    numbers = [
        i
        for i in range(len(table.header))
        if i != path and all(row[i] and is_number(str(row[i])) for row in rows)
    ]
    return len(numbers) >= 4 and len(set(images)) < 0.9 * len(images)


def _one_hot_columns(rows: Sequence[Row], others: Sequence[int]) -> tuple[int, ...]:
    """Return the columns of 0 and 1 of which one is 1 in each row; () if there are not any."""
    binary = [i for i in others if all(_binary(row[i]) is not None for row in rows)]
    if len(binary) < 2:
        return ()
    ones = [sum(_binary(row[i]) or 0 for i in binary) for row in rows]
    if ones.count(1) >= _ONE_HOT_SHARE * len(ones):
        return tuple(binary)
    if len(binary) == len(others) and len(binary) > 2:
        raise NoLabels(SEVERAL_LABELS)
    return ()


def _binary(value: str | None) -> int | None:
    return {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}.get((value or "").lower())


def choose_label_column(
    header: Sequence[str], rows: Sequence[Row], others: Sequence[int], limits: Limits
) -> int:
    """Return the column of labels among `others`.

    Raises NoLabels if it is not clear.
    """
    usable = [i for i in others if is_categorical([row[i] for row in rows], limits)]
    if len(others) == 1 and usable:
        return usable[0]
    varying = [i for i in usable if len({row[i] for row in rows}) > 1]
    ranks = {i: rank for i in varying or usable if (rank := _rank(header[i])) is not None}
    if ranks:
        named = {i for i in ranks if not all(is_number(row[i] or "0") for row in rows)}
        return min(ranks, key=lambda i: (i not in named, ranks[i], i))
    if len(varying) == 1:
        return varying[0]
    texts = [i for i in varying if not all(is_number(row[i] or "0") for row in rows)]
    if len(texts) == 1 and all(name.isdecimal() for name in header):
        return texts[0]  # next to numbers such as boxes, in a file without a header
    if marks := [i for i in others if {row[i] for row in rows} == {"-1", "1"}]:
        names = ", ".join(printable(header[i]) for i in marks[:8])
        raise NoLabels(f"has a column of 1 and -1 per class; set `label_column` to one of {names}")
    if not varying:
        has_texts = not all(is_number(row[i] or "0") for i in others for row in rows)
        raise NoLabels(CAPTIONS if has_texts else f"has no column with labels: {_ALL_DIFFER}")
    names = ", ".join(printable(header[i]) for i in varying[:8])
    raise NoLabels(f"{SEVERAL_COLUMNS}; set `label_column` to {names}")


def _reject_lists_of_labels(values: Sequence[str | None]) -> None:
    """Raise NoLabels if many values are lists of other values, such as "cough|fever"."""
    present = [value for value in values if value]
    distinct = set(present)
    lists = sum(
        any(sep in value and distinct.issuperset(value.split(sep)) for sep in ";,")
        or ("|" in value and not distinct.isdisjoint(value.split("|")))
        for value in distinct
    )
    if lists > 0.1 * len(distinct):
        raise NoLabels(SEVERAL_LABELS)


def _rank(name: str) -> int | None:
    words = set(_column_words(name))
    if len(words) > 1:
        words.discard("y")  # a coordinate, as in `Roi.Y1`
    return next((rank for rank, group in enumerate(_LABEL_WORDS) if words & set(group)), None)


def is_categorical(values: Sequence[str | None], limits: Limits) -> bool:
    """Return True if values repeat, so that they can be labels. Fractions are measurements."""
    present = [value for value in values if value and value.strip()]
    distinct = set(present)
    # Lists for one class at a time mark their images with 1 and all others with -1.
    if not present or len(distinct) > limits.classes_max or "-1" in distinct <= {"-1", "0", "1"}:
        return False
    if any(is_number(value) and not float(value).is_integer() for value in distinct):
        return False
    # Captions and measurements differ from row to row. In a small set, half may differ.
    return len(distinct) <= max(2, len(present) // 2) or len(distinct) < len(present) <= 20
