"""Training of tabular models, for new and for resumed runs."""

from pathlib import Path

import torch

from models import training_loop
from models.checkpoint import load_state
from models.placement import CPU
from models.tabular.autoregressive_training import AutoregressiveTrainer
from models.tabular.data import MAX_HOLDOUT_ROWS, LabeledRows
from models.tabular.gan_training import GanTrainer
from models.tabular.prepare import filter_rows, fit_or_load_tokenizer
from models.tabular.preview import ScatterPreview
from models.tabular.settings import TableSettings
from models.training_callbacks import TrainingCallbacks


def train(
    rows: LabeledRows,
    settings: TableSettings,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
    device: torch.device = CPU,
) -> None:
    """Train on a device until `callbacks.progress` is 1 or held-out rows no longer improve.

    Resume from `state` if it is given.

    Raises:
        NonFiniteLoss: A loss is infinite or NaN.
        NonFiniteState: A weight is infinite or NaN.
        UnreadableCheckpoint: `state` is not a checkpoint of the current format.
        UnsupportedColumn: The values of a column have no tokens.
    """
    if settings.constraints:
        rows = filter_rows(rows, settings, callbacks)
    tokenizer = fit_or_load_tokenizer(rows, settings, callbacks, seed, state)
    tokens = torch.from_numpy(tokenizer.encode(rows.take(rows.train), seed))
    holdout = torch.from_numpy(tokenizer.encode(rows.take(rows.holdout[:MAX_HOLDOUT_ROWS]), seed))
    trainer = (GanTrainer if settings.architecture == "gan" else AutoregressiveTrainer)(
        tokenizer, settings, tokens, holdout, seed, device
    )
    if state is None:
        trainer.start_from_frequencies(tokens)
    else:
        load_state(state, trainer.resumable())
    trainer.scatter = ScatterPreview.fit(rows, tokenizer, settings.min_value_count)
    training_loop.train(trainer, callbacks)
