"""Samples as a torch dataset, generated while a training loop reads them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

if TYPE_CHECKING:
    from semblance.notebook.objects import Model


class SampleDataset(IterableDataset[Any]):
    """An iterable dataset of synthetic items in a given mix of labels.

    Items come in chunks of `chunk` items with the labels in the proportions of `mix`; the order in
    a chunk is random. With several workers of a DataLoader, worker w of n reads the chunks w,
    w + n, w + 2n and so on: no item comes twice. The same seed gives the same items again. `length`
    is the total number of items; by default there is no end.

    Images are pairs of a float tensor (C, H, W) from 0 to 1 and the index of the label in `mix`.
    Rows are pairs of a dictionary of values by column and that index.
    """

    def __init__(
        self,
        model: Model,
        mix: Mapping[str, float],
        *,
        seed: int = 0,
        chunk: int = 256,
        length: int | None = None,
    ) -> None:
        self.url, self.key = model.client.url, model.client.key
        self.model, self.modality = model.id, model.data["modality"]
        self.labels = list(mix)
        self.counts = apportion(list(mix.values()), chunk)
        self.seed, self.chunk, self.length = seed, chunk, length

    def __iter__(self) -> Iterator[Any]:
        from semblance._sync.client import Client

        info = get_worker_info()
        number, step = (0, 1) if info is None else (info.id, info.num_workers)
        # Each worker process has connections of its own.
        with Client(self.url, self.key) as client:
            while self.length is None or number * self.chunk < self.length:
                items = self._read_chunk(client, number)
                if self.length is not None:
                    items = items[: self.length - number * self.chunk]
                yield from items
                number += step

    def _read_chunk(self, client: Any, number: int) -> list[Any]:
        # `offset` counts the samples of each label, so each label continues where it stopped.
        items: list[Any] = []
        for index, (label, count) in enumerate(zip(self.labels, self.counts, strict=True)):
            if count:
                request = {"labels": {label: count}, "seed": self.seed, "offset": number * count}
                items += [(item, index) for item in self._read(client, request)]
        order = np.random.default_rng((self.seed, number)).permutation(len(items))
        return [items[i] for i in order]

    def _read(self, client: Any, request: dict[str, Any]) -> list[Any]:
        if self.modality == "tabular":
            rows: list[Any] = client.create_samples(self.model, request)["rows"]
            return rows
        with np.load(io.BytesIO(client.samples(self.model, format="npz", **request))) as arrays:
            x = torch.from_numpy(arrays["x"])
        x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)
        return list(x.float() / 255)


def apportion(weights: list[float], total: int) -> list[int]:
    """Return whole numbers in the proportions of the weights with the given sum.

    Largest remainders decide (Hamilton's method).
    """
    exact = [weight * total / sum(weights) for weight in weights]
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts
