"""Waits, copies and mixed devices that are planted in operations and steps of a virtual GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models import step_graphs
from models.images.adversarial.training import Gan
from models.images.feature_extractor import FeatureNetwork
from models.images.training import train as train_images
from models.images.vae_gan.training import VaeGan
from models.microbatch import Part
from models.tabular.autoregressive.phases import CriticPhase, GeneratorPhase
from models.tabular.data import LabeledRows
from models.tabular.differential_privacy.training import PrivateTrainer
from models.tabular.gan.training import GanTrainer
from models.tabular.training import train as train_rows
from tests.models.conftest import Steps
from tests.models.images import tiny as images
from tests.models.tabular import test_differential_privacy as privacy
from tests.models.tabular import tiny_tables as tables
from tests.virtual_gpu import GPU, VirtualGpu
from tests.virtual_graph import RefusedOperation

THIS_FILE = "tests/models/test_planted_faults.py:"


def test_planted_waits_and_mixed_devices_are_found(gpu: VirtualGpu) -> None:
    x = torch.randn(4, 4).to(GPU)
    gpu.clear()
    (x * 2).sum().item()
    x[x > 0]
    assert sorted(name for _, name in gpu.synchronizations) == [
        "_local_scalar_dense",
        "index by a mask",
    ]
    x.cpu()
    assert [name for _, name in gpu.copies] == ["from the GPU"]
    assert next(iter(gpu.copies))[0].startswith(THIS_FILE)
    with pytest.raises(RefusedOperation, match="generator of the CPU"):
        torch.randn(3, device=GPU, generator=torch.Generator())
    with pytest.raises(RefusedOperation, match="mul of tensors on"):
        x * torch.ones(4, 4)
    with pytest.raises(RefusedOperation, match="numpy"):
        x.numpy()


def learn_images(architecture: str) -> None:
    settings = images.make_settings(architecture=architecture)
    data = images.make_images(settings)
    train_images(data, settings, images.RecordingCallbacks(12), seed=5, device=GPU)


def learn_rows(architecture: str) -> None:
    table, schema = tables.make_people(100)
    settings = tables.make_settings(table, architecture=architecture, critic_budget_fraction=0.5)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.2, seed=1)
    train_rows(rows, settings, tables.RecordingCallbacks(12), seed=1, device=GPU)


def learn_privately() -> None:
    rows = privacy.split_rows(privacy.make_residents(1))
    privacy.train_privately(rows, tables.RecordingCallbacks(4), device=GPU)


PHASES = [
    (FeatureNetwork, lambda: learn_images("vae_gan")),
    (VaeGan, lambda: learn_images("vae_gan")),
    (Gan, lambda: learn_images("mlp")),
    (GeneratorPhase, lambda: learn_rows("autoregressive")),
    (CriticPhase, lambda: learn_rows("autoregressive")),
    (GanTrainer, lambda: learn_rows("gan")),
    (PrivateTrainer, learn_privately),
]


@pytest.mark.parametrize(("phase", "learn"), PHASES, ids=[phase.__name__ for phase, _ in PHASES])
def test_each_fault_that_is_planted_in_a_step_is_found(
    phase: Any, learn: Callable[[], None], steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read a value in the first step, copy a tensor in the second, and mix devices in the third."""
    monkeypatch.setattr(step_graphs, "WARM_UP_STEPS", 10**9)  # A recording would refuse the first.
    faults: list[Callable[[Tensor], object]] = [
        lambda tensor: torch.rand(3, device=GPU, generator=torch.Generator()),
        lambda tensor: tensor.cpu(),
        lambda tensor: tensor.sum().item(),
    ]
    add_gradients = phase.add_gradients

    def add_gradients_with_a_fault(self: Any, part: Part) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = add_gradients(self, part)
        faults.pop()(part.batch[0])
        return losses

    monkeypatch.setattr(phase, "add_gradients", add_gradients_with_a_fault)
    with pytest.raises(RefusedOperation, match="generator of the CPU"):
        learn()
    assert faults == []
    for counts, name in (
        (steps.synchronizations, "_local_scalar_dense"),
        (steps.copies, "from the GPU"),
    ):
        ((line, found),) = counts
        assert (line.startswith(THIS_FILE), found) == (True, name)
