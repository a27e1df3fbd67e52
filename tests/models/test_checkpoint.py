"""Checkpoint files: tensors and a header are written and read back."""

from pathlib import Path

import pytest
import torch

from models.checkpoint import (
    NonFiniteState,
    UnreadableCheckpoint,
    flatten,
    pack,
    unflatten,
    unpack,
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


def test_an_optimizer_resumes_exactly(tmp_path: Path) -> None:
    def run_steps(weight: torch.Tensor, optimizer: torch.optim.Optimizer, n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            (weight - 3).square().sum().backward()
            optimizer.step()

    uninterrupted = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.AdamW([uninterrupted], 0.1)
    run_steps(uninterrupted, optimizer, 5)
    tensors, tree = flatten(optimizer.state_dict(), "opt")
    (tmp_path / "x").write_bytes(pack({**tensors, "weight": uninterrupted}, {"tree": tree}))

    restored, header = unpack(tmp_path / "x")
    resumed = restored["weight"].clone().requires_grad_(True)
    resumed_optimizer = torch.optim.AdamW([resumed], 0.5)
    resumed_optimizer.load_state_dict(unflatten(header["tree"], restored))
    run_steps(uninterrupted, optimizer, 5)
    run_steps(resumed, resumed_optimizer, 5)
    assert torch.equal(resumed, uninterrupted)
