"""Short runs of every network on the CPU: losses, sums of weights, and operations of torch.

`python -m tests.models.recorded_training` records them in recorded_training.json, with which
test_cpu_training.py compares later runs. Record them again only if a change of the training on the
CPU is intended.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from safetensors.torch import load
from torch.utils._python_dispatch import TorchDispatchMode

from models import autocast
from models.images.training import train as train_images
from models.tabular.data import LabeledRows
from models.tabular.training import train as train_rows
from models.training_callbacks import PackedCheckpoint
from tests.models.images import tiny as images
from tests.models.tabular import test_differential_privacy as privacy
from tests.models.tabular import tiny_tables as tables

RECORDS = Path(__file__).with_suffix(".json")
Figures = dict[str, float]
Result = tuple[Figures, PackedCheckpoint]  # metrics, and the last checkpoint


class _Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **kwargs or {})


def _learn_images(**overrides: Any) -> Result:
    settings, callbacks = images.make_settings(**overrides), images.RecordingCallbacks(12)
    train_images(images.make_images(settings), settings, callbacks, seed=5)
    return callbacks.metrics[12], callbacks.saved[12]


def _learn_rows(**overrides: Any) -> Result:
    table, schema = tables.make_people(300)
    settings = tables.make_settings(table, critic_budget_fraction=0.5, eval_interval=4, **overrides)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.2, seed=1)
    callbacks = tables.RecordingCallbacks(12)
    train_rows(rows, settings, callbacks, seed=1)
    return callbacks.metrics, callbacks.last_checkpoint


def _learn_privately() -> Result:
    callbacks = tables.RecordingCallbacks(4)
    with patch("secrets.randbits", lambda bits: 7):  # a known secret
        privacy.train_privately(privacy.split_rows(privacy.make_residents(1)), callbacks)
    return {}, callbacks.last_checkpoint


RUNS: dict[str, Callable[[], Result]] = {
    "vae_gan": _learn_images,
    "vae_gan without labels": lambda: _learn_images(classes=1),
    "cvae": lambda: _learn_images(architecture="cvae"),
    "cgan": lambda: _learn_images(architecture="cgan"),
    "dcgan with augmentation": lambda: _learn_images(architecture="dcgan", augmentation_target=0.1),
    "mlp": lambda: _learn_images(architecture="mlp"),
    "r3gan": lambda: _learn_images(architecture="r3gan"),
    "rows": _learn_rows,
    "rows with label contrast": lambda: _learn_rows(label_contrast=3.0),
    "rows in any order": lambda: _learn_rows(random_order_prob=0.5, dropout=0.2),
    "rows by gan": lambda: _learn_rows(architecture="gan"),
    "rows with differential privacy": _learn_privately,
}


def record(name: str) -> Figures:
    """Run a training in float32 on every CPU, also on those that can compute in bfloat16."""
    with patch.object(autocast, "HAS_BF16", False), _Operations() as operations:
        metrics, checkpoint = RUNS[name]()
    # An accuracy on a few items is all or nothing: rounding could change it.
    losses = {name: value for name, value in metrics.items() if "critic_a" not in name}
    return losses | _sums(checkpoint) | {"operations": operations.count}


def _sums(checkpoint: PackedCheckpoint) -> Figures:
    """Return the sum of all values of a model and of its training state.

    Values count by their magnitude, and at most 1: those of a tokenizer can be large.
    """
    sums = {}
    for name, file in (("model", checkpoint.model), ("state", checkpoint.state)):
        tensors = load(file).values()
        sums[name] = sum(float(tensor.double().abs().clamp(max=1).sum()) for tensor in tensors)
    return sums


if __name__ == "__main__":
    RECORDS.write_text(json.dumps({name: record(name) for name in RUNS}, indent=1) + "\n")
