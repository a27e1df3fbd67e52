"""Runs of a few steps on one thread."""

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
def run_to(tmp_path: Path) -> TrainTo:
    """Train for so many steps, from a saved state if one is given."""

    def run(
        settings: ImageSettings, steps: int, *, state: bytes | None = None, **kept: Any
    ) -> RecordingCallbacks:
        recorder = RecordingCallbacks(steps, **kept)
        path = None
        if state is not None:
            path = tmp_path / "state"
            path.write_bytes(state)
        try:
            train(make_images(settings), settings, recorder, seed=5, state=path)
        except KeyboardInterrupt:
            assert recorder.killed_at is not None
        return recorder

    return run
