"""A virtual GPU, and the operations of training steps on it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from models import seeding
from models.images.training import ImageTrainer
from models.tabular.autoregressive.training import AutoregressiveTrainer
from models.tabular.differential_privacy.training import PrivateTrainer
from models.tabular.gan.training import GanTrainer
from tests.virtual_gpu import Counts, VirtualGpu


@dataclass
class Steps:
    """Operations of the steps only, without those between them."""

    synchronizations: Counts = field(default_factory=Counter)
    copies: Counts = field(default_factory=Counter)
    launches: list[int] = field(default_factory=list)  # by step
    uploads: list[int] = field(default_factory=list)


@pytest.fixture
def gpu() -> Iterator[VirtualGpu]:
    with VirtualGpu() as virtual_gpu:
        yield virtual_gpu


@pytest.fixture
def steps(gpu: VirtualGpu, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Watch each step of a training loop, from its seed to its report."""
    watched, seed_step = Steps(), seeding.seed_step

    def begin(*arguments: Any) -> None:
        seed_step(*arguments)
        gpu.clear()

    monkeypatch.setattr(seeding, "seed_step", begin)
    for trainer in (ImageTrainer, AutoregressiveTrainer, GanTrainer, PrivateTrainer):
        monkeypatch.setattr(trainer, "report", _after_step(gpu, watched, trainer.report))
    return watched


def _after_step(gpu: VirtualGpu, steps: Steps, report: Callable[..., None]) -> Callable[..., None]:
    def end(*arguments: Any) -> None:
        steps.synchronizations += gpu.synchronizations
        steps.copies += gpu.copies
        steps.launches.append(gpu.launches.total())
        steps.uploads.append(gpu.uploads.total())
        report(*arguments)

    return end
