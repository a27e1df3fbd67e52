"""Training data in memory, written to files that the service reads."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from semblance.notebook.extras import require


def to_file(data: Any, labels: Any, folder: Path) -> Path:
    """Write training data to a file in `folder` and return it; paths are returned unchanged.

    `data` is one of:

    - a path to a file or a folder;
    - a DataFrame of pandas or another library with the Arrow interface, or an Arrow table; named
      levels of an index become columns;
    - images as an array or tensor (N, H, W), (N, H, W, 3) or (N, 3, H, W), with `labels` (N,);
    - a sequence of PIL images with `labels`, or of pairs of an image and a label, such as a dataset
      of torchvision.

    Raises:
        TypeError: `data` is none of these.
        ValueError: The number of labels is not the number of images, or a table has no rows.
    """
    if isinstance(data, str | Path):
        return Path(data)
    if _is_table(data):
        return _write_table(data, folder / "table.parquet")
    if hasattr(data, "shape") and hasattr(data, "dtype"):
        return _write_arrays(data, labels, folder / "images.npz")
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _write_pictures(data, labels, folder / "images.zip")
    raise TypeError(
        f"Cannot train on {type(data).__name__}. See semblance.fit for what is possible."
    )


def to_partial_rows(rows: Any) -> list[dict[str, Any]]:
    """Return partial rows as JSON objects; in a table, missing cells are those to generate.

    Raises:
        TypeError: `rows` is neither a table nor a sequence of mappings.
    """
    if _is_table(rows):
        given = (
            {name: value for name, value in row.items() if not _is_missing(value)}
            for row in _to_arrow(rows).to_pylist()
        )
    elif isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        given = (dict(row) for row in rows)
    else:
        raise TypeError("`partial_rows` must be a table or a list with a mapping for each row.")
    return [{name: _to_json(value) for name, value in row.items()} for row in given]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _to_json(value: Any) -> Any:
    """Return dates, times and decimal numbers as text, and scalars of NumPy as Python's."""
    if isinstance(value, timedelta):
        seconds, micros = divmod(abs(value) // timedelta(microseconds=1), 10**6)
        return f"{'-' if value < timedelta(0) else ''}PT{seconds}.{micros:06}S"
    if isinstance(value, date | time | Decimal):
        return str(value) if isinstance(value, Decimal) else value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _is_table(data: Any) -> bool:
    is_frame = type(data).__module__.startswith("pandas") and hasattr(data, "columns")
    return is_frame or (hasattr(data, "__arrow_c_stream__") and not hasattr(data, "dtype"))


def _to_arrow(table: Any) -> Any:
    pyarrow = require("pyarrow", "tables")
    if type(table).__module__.startswith("pandas"):
        names = {None, *table.columns}  # a level may repeat a column
        named = [i for i, name in enumerate(table.index.names) if name not in names]
        if named:
            table = table.reset_index(level=named)
        return pyarrow.Table.from_pandas(table, preserve_index=False)
    return pyarrow.table(table)


def _write_table(data: Any, file: Path) -> Path:
    table = _to_arrow(data)
    if table.num_rows == 0:
        raise ValueError("The table has no rows.")
    require("pyarrow.parquet", "tables").write_table(table, file)
    return file


def _write_arrays(images: Any, labels: Any, file: Path) -> Path:
    numpy = require("numpy", "images")
    x = to_bytes(numpy.asarray(images))
    arrays = {"x": x}
    if labels is not None:
        arrays["y"] = numpy.asarray(labels)
        if arrays["y"].dtype == object:
            arrays["y"] = arrays["y"].astype(str)
        _check_count(len(x), len(arrays["y"]))
    numpy.savez(file, **arrays)
    return file


def to_bytes(images: Any) -> Any:
    """Return images as uint8; floating-point images must be from 0 to 1.

    Raises:
        ValueError: Some values are outside of this range.
    """
    numpy = require("numpy", "images")
    if images.dtype.kind != "f":
        return images
    if images.size and (images.min() < 0 or images.max() > 1):
        raise ValueError("Images of floating-point numbers must have values from 0 to 1.")
    return numpy.round(images * 255).astype(numpy.uint8)


def _write_pictures(data: Sequence[Any], labels: Any, file: Path) -> Path:
    """Write images to a zip with a folder for each label."""
    names = getattr(data, "classes", None)
    if labels is not None:
        _check_count(len(data), len(labels))
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(len(data)):
            item = data[index]
            if labels is not None:
                image, label = item, labels[index]
            elif isinstance(item, tuple):
                image, label = item
            else:
                image, label = item, None
            if names is not None and label is not None:
                label = names[int(label)]
            folder = "" if label is None else f"{label}/"
            with archive.open(f"{folder}{index}.png", "w") as out:
                to_picture(image).save(out, "PNG")
    return file


def to_picture(image: Any) -> Any:
    """Return a PIL image of a PIL image, an array (H, W) or (H, W, 3), or a tensor (3, H, W)."""
    pictures = require("PIL.Image", "images")
    if isinstance(image, pictures.Image):
        return image
    numpy = require("numpy", "images")
    array = to_bytes(numpy.asarray(image))
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    return pictures.fromarray(array.squeeze(-1) if array.shape[-1:] == (1,) else array)


def _check_count(images: int, labels: int) -> None:
    if images != labels:
        raise ValueError(f"There are {images} images, but {labels} labels.")
