"""Items drawn from models in memory, in batches of one fixed shape, in turns."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from app.sampling.admission import under_way
from app.sampling.batcher import Batcher, Left, Ticket
from app.sampling.memory import ModelMemory, get_memory
from app.sampling.turns import Turns
from core.settings import get_settings
from core.tables import Model
from models.generator import draw_once
from models.images.drawing import chosen
from models.images.interpolation import Item, between
from models.images.order import Order
from models.images.sampling import ImageSampler
from models.tables import drawing as rows
from models.tables.order import RowOrder
from models.tables.sampling import Drawn, RowSampler

Pixels = NDArray[np.uint8]

# What one answer asks for at a time, beside what is being encoded and sent.
AHEAD_BYTES = 4 * 2**20
AHEAD_BATCHES = 16


class NoScores(Exception):
    """A model without the networks that could score its images."""


class Drawing:
    """What an answer is made of. `close`, from any thread, lets go of the model and of the place in
    the batches; whoever waits for the next piece gets Left."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise Left


class ImageDrawing(Drawing):
    """Label indices (N,) and images (N, H, W) or (N, H, W, 3), in order."""

    def __init__(
        self,
        batcher: Batcher,
        generator: ImageSampler,
        order: Order,
        held: ExitStack,
        truncation: float,
    ) -> None:
        super().__init__(held)
        self._truncation = truncation
        self._batcher, self.generator, self._seed = batcher, generator, order.seed
        self._batches = order.batches(generator.batch)
        self._at_once = 1  # the first batch comes as soon as it can
        self._tickets: deque[Ticket] = deque()
        held.callback(lambda: batcher.give_up(self._tickets))
        self._ask()

    def _ask(self) -> None:
        with self._lock:
            self._check()
            batches = list(islice(self._batches, self._at_once))
            if batches:
                labels, numbers = (np.concatenate(parts) for parts in zip(*batches, strict=True))
                self._tickets.append(
                    self._batcher.submit(
                        self.generator, self._seed, labels, numbers, self._truncation
                    )
                )

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        return self

    def __next__(self) -> tuple[NDArray[np.int64], Pixels]:
        if not self._tickets:
            self.close()
            raise StopIteration
        ticket = self._tickets[0]
        if len(self._tickets) == 1:
            self._ask()  # drawn while this one is encoded
        pixels = ticket.result()
        self._tickets.popleft()
        each = self.generator.batch * pixels[0].nbytes
        self._at_once = max(1, min(AHEAD_BATCHES, AHEAD_BYTES // each))
        return ticket.labels, pixels


class ChosenDrawing(Drawing):
    """As ImageDrawing, of images that agree with their label: each is the first of its own
    candidates whose classifier gives the label a chance of `least` or more.

    Raises TooRare, as images are drawn.
    """

    def __init__(
        self,
        batcher: Batcher,
        turns: Turns,
        generator: ImageSampler,
        order: Order,
        held: ExitStack,
        truncation: float,
        least: float,
    ) -> None:
        super().__init__(held)
        self._batcher, self._turns = batcher, turns
        self.generator, self._seed = generator, order.seed
        self._truncation, self._least = truncation, least
        self._batches = order.batches(generator.batch)
        self._under_way: list[Ticket] = []
        held.callback(lambda: batcher.give_up(self._under_way))
        self.acceptance = 1.0  # of the images drawn last

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        return self

    def __next__(self) -> tuple[NDArray[np.int64], Pixels]:
        batch = next(self._batches, None)
        if batch is None:
            self.close()
            raise StopIteration
        labels, numbers = batch
        found = chosen(
            self._draw,
            self._agreement,
            labels,
            numbers,
            least=self._least,
            batch=self.generator.batch,
        )
        self.acceptance = found.acceptance
        return labels, found.pixels

    def _draw(
        self, labels: NDArray[np.int64], numbers: NDArray[np.int64], attempts: NDArray[np.int64]
    ) -> Pixels:
        with self._lock:
            self._check()
            ticket = self._batcher.submit(
                self.generator, self._seed, labels, numbers, self._truncation, attempts
            )
            self._under_way[:] = [ticket]
        return ticket.result()

    def _agreement(self, pixels: Pixels, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        with self._turns:
            return self.generator.scorer.agreement(pixels, labels)


class RowDrawing(Drawing):
    """Rows in order, some thousand at a time, each with the share of candidates that was kept.

    Raises, as rows are drawn, what models.tables.drawing.all_drawn does.
    """

    def __init__(
        self, turns: Turns, generator: RowSampler, order: RowOrder, held: ExitStack
    ) -> None:
        super().__init__(held)
        self.generator = generator
        self._turns = turns
        self._rows = rows.all_drawn(generator, order)

    def __iter__(self) -> Iterator[Drawn]:
        return self

    def __next__(self) -> Drawn:
        with self._turns:
            self._check()
            drawn = next(self._rows, None)
        if drawn is None:
            self.close()
            raise StopIteration
        return drawn


class Sampler:
    def __init__(self, memory: ModelMemory, window_s: float) -> None:
        self.memory = memory
        # One batch at a time: torch spreads each over the threads it was given.
        self._turns = Turns()
        self.batcher = Batcher(self._turns, window_s, expected=under_way)

    def draw(
        self, model: Model, order: Order, truncation: float = 1.0, least: float | None = None
    ) -> ImageDrawing | ChosenDrawing:
        """`least` is that of ChosenDrawing. Raises Unavailable when the model cannot be loaded, and
        NoScores when it has no classifier to choose with."""
        held = ExitStack()
        generator = held.enter_context(self.memory.using(model))
        assert isinstance(generator, ImageSampler)  # noqa: S101 - the model's kind says so
        if least is None:
            return ImageDrawing(self.batcher, generator, order, held, truncation)
        if not generator.scorer.tells_labels:
            held.close()
            raise NoScores
        return ChosenDrawing(self.batcher, self._turns, generator, order, held, truncation, least)

    def scores(
        self, generator: ImageSampler, pixels: Pixels, labels: NDArray[np.int64]
    ) -> list[dict[str, float]]:
        """What the model's own networks think of each image; empty without any."""
        scorer, found = generator.scorer, {}
        with self._turns:
            if scorer.tells_labels:
                found["label"] = scorer.agreement(pixels, labels)
            if scorer.tells_truth:
                found["real"] = scorer.realness(pixels, labels)
        return [
            {name: round(float(chances[i]), 4) for name, chances in found.items()}
            for i in range(len(labels) if found else 0)
        ]

    def between(
        self, model: Model, ends: tuple[Item, Item], steps: int, truncation: float
    ) -> Pixels:
        """(steps, H, W[, 3]). Raises Unavailable when the model cannot be loaded."""
        with self.memory.using(model) as generator, self._turns:
            assert isinstance(generator, ImageSampler)  # noqa: S101 - the model's kind says so
            return between(generator, ends, steps, truncation)

    def warm_up(self, model: Model) -> None:
        """Loads the model and draws one batch: the first of all takes longest."""
        with self.memory.using(model) as generator, self._turns:
            draw_once(generator)

    def rows(self, model: Model, order: RowOrder) -> RowDrawing:
        """Raises Unavailable when the model cannot be loaded."""
        held = ExitStack()
        generator = held.enter_context(self.memory.using(model))
        assert isinstance(generator, RowSampler)  # noqa: S101 - the model's kind says so
        return RowDrawing(self._turns, generator, order, held)


@lru_cache
def get_sampler() -> Sampler:
    settings = get_settings()
    torch.set_num_threads(settings.sampler_threads)
    return Sampler(get_memory(), settings.batch_window_s)
