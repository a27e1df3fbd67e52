"""Checkpoints of tabular training runs. Both files hold the tokenizer of the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from models.checkpoint import Resumable, count_parameters, pack_model, pack_state, unpack
from models.tabular import tokenizer_tensors
from models.tabular.settings import CONTENT, TableSettings
from models.tabular.tokenizer import Tokenizer
from models.training_callbacks import PackedCheckpoint
from models.weight_average import WeightAverage


def pack(
    tokenizer: Tokenizer,
    settings: TableSettings,
    step: int,
    objects: Mapping[str, Resumable],
    networks: Mapping[str, nn.Module],
    **header: Any,
) -> PackedCheckpoint:
    """Serialize the training state in `objects`, and a model of `networks`.

    Raises:
        NonFiniteState: A weight or a statistic is infinite or NaN.
    """
    metadata, arrays = tokenizer_tensors.to_tensors(tokenizer)
    model = pack_model(
        CONTENT,
        networks,
        arrays,
        step=step,
        hyperparameters=settings.to_dict(),
        tokenizer=metadata,
        **header,
    )
    state = pack_state(CONTENT, objects, arrays, tokenizer=metadata)
    return PackedCheckpoint(state, model, count_parameters(networks["generator"]))


def load_tokenizer(state: Path) -> Tokenizer:
    """Load the tokenizer in a training state.

    Raises:
        UnreadableCheckpoint: The file is not a checkpoint of the current format.
    """
    tensors, header = unpack(state)
    return tokenizer_tensors.from_tensors(header["tokenizer"], tensors)


class AveragedRun:
    """Checkpoints of a run whose model is the average of its generator's weights."""

    saved: ClassVar[tuple[str, ...]]  # see Resumable
    tokenizer: Tokenizer
    settings: TableSettings
    step: int
    average: WeightAverage[Any]

    def update_average(self, step: int) -> None:
        self.average.update(step + 1)

    def resumable(self) -> dict[str, Resumable]:
        return {"run": self}

    def pack(self) -> PackedCheckpoint:
        return pack(
            self.tokenizer,
            self.settings,
            self.step,
            self.resumable(),
            {"generator": self.average.network},
        )
