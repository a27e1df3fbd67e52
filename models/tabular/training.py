"""Training of tabular models, for new and for resumed runs."""

from pathlib import Path

import torch

from models import training_loop
from models.checkpoint import load_state
from models.placement import CPU
from models.tabular.autoregressive.training import AutoregressiveTrainer
from models.tabular.checkpoint import load_tokenizer
from models.tabular.data import LabeledRows
from models.tabular.gan.training import GanTrainer
from models.tabular.prepare import RelationPlan, filter_rows, fit_tokenizer, plan_relations
from models.tabular.preview import ScatterPreview
from models.tabular.settings import TableSettings
from models.tabular.tokenized_rows import TokenizedRows
from models.training_callbacks import TrainingCallbacks


def train(
    rows: LabeledRows,
    settings: TableSettings,
    callbacks: TrainingCallbacks,
    *,
    seed: int,
    state: Path | None = None,
    device: torch.device = CPU,
    relations: RelationPlan | None = None,
    records_steps: bool = True,
) -> None:
    """Train on a device until `callbacks.progress` is 1 or held-out rows no longer improve.

    Resume from `state` if it is given. A caller that has filtered the rows and planned their
    relations passes `relations`. `records_steps`: see models.step_graphs.

    Raises:
        NonFiniteLoss: A loss is infinite or NaN.
        NonFiniteState: A weight is infinite or NaN.
        UnreadableCheckpoint: `state` is not a checkpoint of the current format.
        UnsupportedColumn: The values of a column have no tokens.
    """
    if relations is None and settings.constraints:
        rows = filter_rows(rows, settings, callbacks)
    if state is None:
        relations = relations or plan_relations(rows, settings)
        tokenizer = fit_tokenizer(rows, relations, settings, callbacks, seed)
    else:
        tokenizer = load_tokenizer(state)
    tokenized = TokenizedRows.encode(rows, tokenizer, seed)
    if state is None and _avoids_zeros(settings):
        tokenized = tokenized.with_exclusions()
    architecture = GanTrainer if settings.architecture == "gan" else AutoregressiveTrainer
    trainer = architecture(tokenized, settings, seed, device)
    if state is None:
        trainer.start_from_frequencies(tokenized.train)
    else:
        load_state(state, trainer.resumable())
    trainer.scatter = ScatterPreview.fit(rows, tokenized.tokenizer, settings.min_value_count)
    training_loop.train(trainer, callbacks, records_steps=records_steps)


def _avoids_zeros(settings: TableSettings) -> bool:
    """Return True if samples avoid pairs of values that no training row has.

    A pair may be that of a single row, so rare values must not be protected.
    """
    is_enabled = settings.relations is not False and not settings.min_value_count
    return is_enabled and settings.architecture == "autoregressive"
