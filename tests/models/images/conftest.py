"""Fixtures that train tiny image models for a few steps on one thread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.images.settings import ImageSettings
from models.images.training import train
from tests.models.images.tiny import RecordingCallbacks, make_images


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


TrainTo = Callable[..., RecordingCallbacks]


@pytest.fixture
def train_to(tmp_path: Path) -> TrainTo:
    """Return a function that trains for `steps` steps, from a saved state if one is given."""

    def run(
        settings: ImageSettings, steps: int, *, state: bytes | None = None, **options: Any
    ) -> RecordingCallbacks:
        callbacks = RecordingCallbacks(steps, **options)
        state_path = None
        if state is not None:
            state_path = tmp_path / "state"
            state_path.write_bytes(state)
        try:
            train(make_images(settings), settings, callbacks, seed=5, state=state_path)
        except KeyboardInterrupt:
            assert callbacks.interrupt_at is not None
        return callbacks

    return run
