"""Synthetic items of one request, in the forms of the libraries that process them."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semblance.notebook import html
from semblance.notebook.extras import require

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from PIL import Image

    from semblance._sync.client import Client

SHOWN_ROWS = 10
SHOWN_PER_LABEL = 10
SHOWN_LABELS = 20


class Samples:
    """Samples of a model, generated when they are first used.

    The seed is fixed, so each form has the same items.
    """

    def __init__(self, client: Client, model: Any, request: dict[str, Any]) -> None:
        self._client = client
        self._model = model
        self.request = request

    @property
    def modality(self) -> str:
        """`image` or `tabular`."""
        modality: str = self._model["modality"]
        return modality

    @property
    def seed(self) -> int:
        seed: int = self.request["seed"]
        return seed

    def to_bytes(self, format: str) -> bytes:
        """Return a file in memory: csv, ndjson, parquet, arrow, json; zip, npz, tar, png, json."""
        return self._client.samples(self._model["id"], format=format, **self.request)

    def save(self, file: str | Path) -> Path:
        """Write a file whose extension sets the format."""
        return self._client.download_samples(self._model["id"], file, **self.request)

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        if self.modality != "tabular":
            raise TypeError("Images have no columns: use to_numpy() or images().")
        stream = require("pyarrow", "tables").ipc.open_stream(self.to_bytes("arrow"))
        return stream.read_all()

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a DataFrame."""
        require("pandas", "tables")
        return self.to_arrow().to_pandas()

    def to_numpy(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return arrays `(x, y)`: items (N, …) and their labels (N,) as text.

        Images are uint8 of shape (N, H, W) or (N, H, W, 3). Rows are the columns except the target
        column, whose values are the labels; without a target column, `y` is empty.
        """
        numpy = require("numpy", "images")
        if self.modality == "tabular":
            frame, target = self.to_pandas(), self._model["target_column"]
            if target is None:
                return frame.to_numpy(), numpy.empty(0, dtype=str)
            return frame.drop(columns=target).to_numpy(), frame[target].to_numpy()
        with numpy.load(io.BytesIO(self.to_bytes("npz"))) as arrays:
            x = arrays["x"]
            if "labels" not in arrays:
                return x, numpy.empty(0, dtype=str)
            return x, arrays["labels"][arrays["y"]]

    def images(self) -> list[Image.Image]:
        """Return the images as PIL images, in the order of the labels of the request."""
        if self.modality != "image":
            raise TypeError("Rows are not images: use to_pandas().")
        pictures = require("PIL.Image", "images")
        return [pictures.fromarray(array) for array in self.to_numpy()[0]]

    def __len__(self) -> int:
        request = self.request
        if request.get("count") is not None:
            return int(request["count"])
        counts: list[int] = [condition["count"] for condition in request.get("conditions", ())]
        counts += (request.get("labels") or {}).values()
        return sum(counts) + len(request.get("partial_rows") or ())

    @functools.cached_property
    def _preview(self) -> str:
        """A few of the items as HTML."""
        request = {key: value for key, value in self.request.items() if key != "count"}
        labels = self.request.get("labels")
        if labels:
            few = dict(list(labels.items())[:SHOWN_LABELS])
            request["labels"] = {name: min(n, SHOWN_PER_LABEL) for name, n in few.items()}
        elif self.request.get("count"):
            request["count"] = min(self.request["count"], SHOWN_ROWS)
        else:
            request["conditions"] = [
                condition | {"count": min(condition["count"], SHOWN_ROWS)}
                for condition in request.get("conditions", ())
            ] or None
        if self.modality == "image":
            png = self._client.samples(self._model["id"], format="png", **request, layout="grid")
            return html.picture(base64.b64encode(png).decode())
        rows = self._client.create_samples(self._model["id"], request)["rows"]  # type: ignore[arg-type]
        shown = rows[:SHOWN_ROWS]
        return html.table(list(shown[0]), [list(row.values()) for row in shown]) if shown else ""

    def _repr_html_(self) -> str:
        kind = "images" if self.modality == "image" else "rows"
        caption = f"{len(self):,} {kind} of {self._model['reference']}, seed {self.seed}"
        return html.box(caption, self._preview)
