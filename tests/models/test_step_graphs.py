"""Recording and replay of training steps, on the graphs of a virtual GPU."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from models import step_graphs
from models.images.training import train
from models.microbatch import Batch
from models.step_graphs import WARM_UP_STEPS, RecordingFailed, StepGraphs
from tests.models.images import tiny as images
from tests.virtual_gpu import CPU, GPU, VirtualGpu
from tests.virtual_graph import RefusedOperation

PHASE = object()


class Steps:
    """Steps whose loss is sum(weight * batch * factor)."""

    def __init__(self, device: torch.device = GPU) -> None:
        self.graphs = StepGraphs(device)
        self.weight = torch.ones(3).to(device).requires_grad_(True)
        self.optimizers = [torch.optim.SGD([self.weight])]
        self.factor = torch.ones(()).to(device)
        self.device = device

    def take(self, value: float, function: Callable[[Batch], dict[str, Tensor]]) -> list[float]:
        """Take a step with a batch of this value. Return the gradient."""
        self.weight.grad = None
        batch = (torch.full((3,), value).to(self.device),)
        with self.graphs.step("kind", PHASE, self.optimizers, batch) as step:
            if not step.is_computed:
                step.losses = function(step.batch)
        assert self.weight.grad is not None
        gradient: list[float] = self.weight.grad.tolist()
        return gradient

    def add_gradients(self, batch: Batch) -> dict[str, Tensor]:
        loss = (self.weight * batch[0] * self.factor).sum()
        loss.backward()
        return {"loss": loss.detach()}


def test_a_replay_reads_the_batch_and_the_values_on_the_device(gpu: VirtualGpu) -> None:
    steps = Steps()
    for step in range(WARM_UP_STEPS + 3):
        steps.factor.fill_(step)
        assert steps.take(2.0 * step, steps.add_gradients) == [2.0 * step**2] * 3
    assert gpu.recorded_graphs == 1


def test_a_value_that_python_computes_in_a_step_is_frozen(gpu: VirtualGpu) -> None:
    """Show that comparisons with a CPU detect such a step."""
    steps, factors = Steps(), iter(range(100))

    def add_gradients(batch: Batch) -> dict[str, Tensor]:
        (self_loss := (steps.weight * batch[0]).sum() * next(factors)).backward()
        return {"loss": self_loss.detach()}

    gradients = [steps.take(1.0, add_gradients)[0] for _ in range(WARM_UP_STEPS + 3)]
    assert gradients == [*range(WARM_UP_STEPS + 1), WARM_UP_STEPS, WARM_UP_STEPS]


def test_a_step_of_another_kind_or_shape_is_recorded_separately(gpu: VirtualGpu) -> None:
    steps = Steps()
    for kind, size in [("a", 3), ("b", 3), ("b", 1)] * (WARM_UP_STEPS + 2):
        batch = (torch.ones(size).to(GPU),)
        with steps.graphs.step(kind, PHASE, steps.optimizers, batch) as step:
            if not step.is_computed:
                step.losses = steps.add_gradients(step.batch)
    assert gpu.recorded_graphs == 3
    steps.graphs.reset()
    steps.take(1.0, steps.add_gradients)
    assert gpu.recorded_graphs == 3  # A warm-up step comes first again.


@pytest.mark.parametrize("device", [CPU, GPU])
def test_nothing_is_recorded_on_a_cpu_or_if_disabled(device: torch.device, gpu: VirtualGpu) -> None:
    steps = Steps(device)
    steps.graphs = StepGraphs(device, enabled=device == CPU)
    for _ in range(WARM_UP_STEPS + 2):
        steps.take(1.0, steps.add_gradients)
    assert gpu.recorded_graphs == 0


def _wait(loss: Tensor) -> object:
    return loss.item()


def _download(loss: Tensor) -> object:
    return loss.cpu()


def _upload(loss: Tensor) -> object:
    return loss + torch.ones(1).pin_memory().to(GPU, non_blocking=True)


@pytest.mark.parametrize("plant", [_wait, _download, _upload])
def test_a_wait_or_a_copy_cannot_be_recorded(
    plant: Callable[[Tensor], object], gpu: VirtualGpu, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps()

    def add_gradients(batch: Batch) -> dict[str, Tensor]:
        losses = steps.add_gradients(batch)
        plant(losses["loss"])
        return losses

    for _ in range(WARM_UP_STEPS):
        steps.take(1.0, add_gradients)
    with pytest.raises(RecordingFailed):
        steps.take(1.0, add_gradients)
    assert "not recorded as CUDA graphs" in caplog.text
    assert steps.take(4.0, add_gradients) == [4.0] * 3
    assert gpu.recorded_graphs == 0


def test_a_capture_changes_no_values(gpu: VirtualGpu) -> None:
    counter = torch.zeros(1).to(GPU)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        counter += 1
    assert counter.item() == 0
    graph.replay()
    graph.replay()
    assert counter.item() == 2


def test_memory_that_a_replay_uses_must_be_kept(gpu: VirtualGpu) -> None:
    values, total = torch.ones(3).to(GPU), torch.zeros(()).to(GPU)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        total += values.sum()
    del values
    with pytest.raises(RefusedOperation, match="freed"):
        graph.replay()


def test_training_continues_without_recordings_if_one_fails(
    gpu: VirtualGpu, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(step_graphs, "WARM_UP_STEPS", 1)
    settings = images.make_settings(architecture="mlp")
    on_cpu, on_gpu = images.RecordingCallbacks(8), images.RecordingCallbacks(8)
    train(images.make_images(settings), settings, on_cpu, seed=5)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    with patch.object(torch.cuda, "graph", fail):
        train(images.make_images(settings), settings, on_gpu, seed=5, device=GPU)
    assert on_gpu.saved == on_cpu.saved
    assert caplog.text.count("not recorded as CUDA graphs") == 1
    assert on_gpu.warnings == []
