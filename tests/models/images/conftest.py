"""Runs of a few steps on one thread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.images.settings import ImageSettings
from models.images.training import train
from tests.models.images.tiny import Recorder, images_of


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


Trained = Callable[..., Recorder]


@pytest.fixture
def run_to(tmp_path: Path) -> Trained:
    """Train for so many steps, from a saved state if one is given."""

    def run(
        settings: ImageSettings, steps: int, *, state: bytes | None = None, **kept: Any
    ) -> Recorder:
        recorder = Recorder(steps, **kept)
        path = None
        if state is not None:
            path = tmp_path / "state"
            path.write_bytes(state)
        try:
            train(images_of(settings), settings, recorder, seed=5, state=path)
        except KeyboardInterrupt:
            assert recorder.killed_at is not None
        return recorder

    return run
