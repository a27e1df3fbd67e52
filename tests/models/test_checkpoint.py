"""Tensors and headers on disk, and back."""

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


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 2), "b": torch.arange(4)}
    (tmp_path / "x").write_bytes(pack(tensors, {"modality": "image", "labels": ["Übergröße"]}))
    read, header = unpack(tmp_path / "x")
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert (header["modality"], header["labels"]) == ("image", ["Übergröße"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_state_with_a_number_that_is_none_is_not_saved(bad: float) -> None:
    with pytest.raises(NonFiniteState, match="weights"):
        pack({"weights": torch.tensor([1.0, bad])}, {})


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 100, (2**62).to_bytes(8, "little"), pack({"a": torch.ones(2)}, {})[:-3]],
)
def test_a_damaged_file_is_not_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UnreadableCheckpoint):
        unpack(tmp_path / "x")


def test_a_file_of_a_later_format_is_refused_by_number(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pack({"a": torch.ones(2)}, {"format": 99}))
    with pytest.raises(UnreadableCheckpoint, match="format 99"):
        unpack(tmp_path / "x")


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x")
    with pytest.raises(UnreadableCheckpoint):
        unpack(tmp_path / "x")


def test_an_optimiser_goes_on_exactly_where_it_was(tmp_path: Path) -> None:
    def steps(weight: torch.Tensor, optimizer: torch.optim.Optimizer, n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            (weight - 3).square().sum().backward()
            optimizer.step()

    unbroken = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.AdamW([unbroken], 0.1)
    steps(unbroken, optimizer, 5)
    tensors, tree = flatten(optimizer.state_dict(), "opt")
    (tmp_path / "x").write_bytes(pack({**tensors, "weight": unbroken}, {"tree": tree}))

    read, header = unpack(tmp_path / "x")
    resumed = read["weight"].clone().requires_grad_(True)
    again = torch.optim.AdamW([resumed], 0.5)
    again.load_state_dict(unflatten(header["tree"], read))
    steps(unbroken, optimizer, 5)
    steps(resumed, again, 5)
    assert torch.equal(resumed, unbroken)
