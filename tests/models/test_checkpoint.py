"""Checkpoint files: tensors, a header and the state of a training are written and read back."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from models.checkpoint import (
    NonFiniteState,
    UnreadableCheckpoint,
    load_state,
    pack,
    pack_model,
    pack_state,
    read_state,
    unpack,
    weights_of,
)


def test_unpack_restores_tensors_and_header(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 2), "b": torch.arange(4)}
    (tmp_path / "x").write_bytes(pack(tensors, {"modality": "image", "labels": ["Übergröße"]}))
    restored, header = unpack(tmp_path / "x")
    assert all(torch.equal(restored[name], tensors[name]) for name in tensors)
    assert (header["modality"], header["labels"]) == ("image", ["Übergröße"])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_not_saved(number: float) -> None:
    with pytest.raises(NonFiniteState, match="weights"):
        pack({"weights": torch.tensor([1.0, number])}, {})


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 100, (2**62).to_bytes(8, "little"), pack({"a": torch.ones(2)}, {})[:-3]],
    ids=["empty", "no header", "huge header length", "truncated"],
)
def test_a_damaged_file_is_rejected(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UnreadableCheckpoint):
        unpack(tmp_path / "x")


def test_a_later_format_is_rejected_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pack({"a": torch.ones(2)}, {"format": 99}))
    with pytest.raises(UnreadableCheckpoint, match="format 99"):
        unpack(tmp_path / "x")


def test_a_pickle_is_rejected_without_running_it(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x")
    with pytest.raises(UnreadableCheckpoint):
        unpack(tmp_path / "x")


@dataclass
class Counters:
    steps: int = 0
    best: float | None = None


class Run:
    """A network in channels-last layout, as in the training of images, with all kinds of state."""

    saved = ("network", "optimizer", "counters", "recent", "step", "calibration")

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 0.1 * (1 + seed), fused=True)
        self.counters, self.recent = Counters(), torch.zeros(2)
        self.step = 0
        self.calibration: list[float] | None = None

    def take_steps(self, count: int) -> None:
        for _ in range(count):
            self.optimizer.zero_grad()
            self.network(torch.ones(1, 3, 4, 4)).square().sum().backward()
            self.optimizer.step()
            self.step += 1
            self.counters.steps += 1
            self.recent = self.recent + 1


def test_a_saved_state_resumes_exactly(tmp_path: Path) -> None:
    uninterrupted = Run(seed=0)
    uninterrupted.take_steps(5)
    uninterrupted.calibration = [1.0, 0.5]
    (tmp_path / "x").write_bytes(pack_state("image", {"run": uninterrupted}))
    resumed = Run(seed=1)
    load_state(tmp_path / "x", {"run": resumed})
    for run in (uninterrupted, resumed):
        run.take_steps(5)
    assert torch.equal(resumed.network.weight, uninterrupted.network.weight)
    assert torch.equal(resumed.recent, uninterrupted.recent)
    assert (resumed.step, resumed.calibration) == (10, [1.0, 0.5])
    assert resumed.counters == Counters(steps=10)
    assert read_state(tmp_path / "x")["run"]["counters"] == {"steps": 5, "best": None}


def test_restored_moments_have_the_layout_of_their_weights(tmp_path: Path) -> None:
    before, after = Run(seed=0), Run(seed=1)
    before.take_steps(1)
    (tmp_path / "x").write_bytes(pack_state("image", {"run": before}))
    load_state(tmp_path / "x", {"run": after})
    moments = after.optimizer.state[after.network.weight]["exp_avg"]
    assert moments.stride() == after.network.weight.stride()


def test_weights_of_a_model_are_named_by_their_network(tmp_path: Path) -> None:
    networks = {"generator": nn.Linear(2, 3), "critic": nn.Linear(3, 1)}
    (tmp_path / "x").write_bytes(pack_model("image", networks, {"scale": torch.ones(1)}, step=4))
    tensors, header = unpack(tmp_path / "x")
    assert (header["modality"], header["step"]) == ("image", 4)
    assert torch.equal(weights_of("critic", tensors)["bias"], networks["critic"].bias)
    assert weights_of("classifier", tensors) == {}


def test_a_model_is_no_training_state(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pack_model("image", {"generator": nn.Linear(1, 1)}))
    with pytest.raises(UnreadableCheckpoint, match="training state"):
        read_state(tmp_path / "x")
