"""The training loop of all models.

A step computes the losses of a batch and their gradients, takes an optimizer step and updates the
average of the weights. Its randomness depends on (seed, step) only, so a resumed run equals an
uninterrupted one. A trainer knows the architecture; its phases are the networks that are trained
together, such as the feature network and then the generator with its critic.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import seeding
from models.device import release_memory
from models.microbatch import Batch, Part, Position, smaller_microbatch, split
from models.step_graphs import RecordingFailed, StepGraphs
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks


class Batches(Protocol):
    def batch_at(self, step: int) -> Batch:
        """Return the batch of a step. Steps count from 0."""


class Phase(Protocol):
    """Networks that are trained together."""

    # Items whose gradients fit into memory. None: the gradients of a batch cannot be added up from
    # those of its parts.
    microbatch_size: int | None

    @property
    def optimizers(self) -> Sequence[torch.optim.Optimizer]: ...

    @property
    def batches(self) -> Batches: ...

    def begin_step(self, position: Position) -> Hashable | None:
        """Set the values on the device that depend on the position. Return the kind of the step.

        `add_gradients` launches the same kernels in all steps of a kind, with batches of the same
        shapes. Then they can be recorded (models.step_graphs). None: they differ.
        """

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Add the gradients of a part of a batch, times its share. Return the losses to log."""

    def apply_gradients(self, position: Position) -> None:
        """Take an optimizer step with the learning rates of this position."""

    def update_average(self, step: int) -> None:
        """Update the averaged weights, if the phase has any."""


class Trainer(Protocol):
    """A training run of one architecture. A checkpoint holds all of its state."""

    seed: int
    step: int
    device: torch.device

    def update_progress(self, used: float) -> float:
        """Return the progress through the schedule, given the used share of the budget.

        A progress of 1 ends the run.
        """

    def current_phase(self) -> Phase:
        """Return the phase of the next step, prepared for it."""

    def render_preview(self) -> NDArray[np.uint8] | None:
        """Return a picture of current samples. None: this run has no previews."""

    def pack(self) -> PackedCheckpoint:
        """Serialize the training state and the model.

        Raises:
            NonFiniteState: A weight or a statistic is infinite or NaN.
        """

    def report(self, losses: dict[str, Tensor], callbacks: TrainingCallbacks) -> None:
        """Evaluate the networks and report metrics, if they are due after this step.

        Raises:
            NonFiniteLoss: A loss is infinite or NaN.
            Collapsed: The samples hardly cover the held-out items, even late in the run.
        """

    def finish(self, callbacks: TrainingCallbacks) -> None:
        """Complete the model after the last step, report its metrics and save it."""


def train(trainer: Trainer, callbacks: TrainingCallbacks, *, records_steps: bool = True) -> None:
    """Train to the end of the schedule, from the trainer's step on.

    With `records_steps`, steps on a GPU are recorded as CUDA graphs and replayed.
    """
    graphs = StepGraphs(trainer.device, enabled=records_steps)
    while (progress := trainer.update_progress(callbacks.progress(trainer.step))) < 1:
        is_preview_due = callbacks.should_preview(trainer.step)
        if is_preview_due and (picture := trainer.render_preview()) is not None:
            callbacks.preview(trainer.step, picture)
        if callbacks.should_checkpoint(trainer.step):
            callbacks.save(trainer.step, trainer.pack())

        phase, position = trainer.current_phase(), Position(trainer.step, progress)
        seeding.seed_step(trainer.seed, position.step, trainer.device)
        for optimizer in phase.optimizers:
            optimizer.zero_grad(set_to_none=True)
        memory_has_run_out = False
        try:
            batch, kind = phase.batches.batch_at(position.step), phase.begin_step(position)
            with graphs.step(kind, phase, phase.optimizers, batch) as step:
                parts = split(step.batch, phase.microbatch_size, position)
                for part in () if step.is_computed else parts:
                    _add_up(step.losses, phase.add_gradients(part), part.share)
        except RecordingFailed:
            continue  # the step is repeated with the same batch and random numbers
        except Exception as error:
            phase.microbatch_size = smaller_microbatch(phase.microbatch_size, error)
            memory_has_run_out = True  # release it outside: the error refers to tensors
        if memory_has_run_out:
            graphs.reset()
            release_memory(trainer.device)
            callbacks.warn(
                position.step,
                f"Out of memory: training continues with {phase.microbatch_size} items at a time.",
            )
            continue

        phase.apply_gradients(position)
        phase.update_average(position.step)
        trainer.step += 1
        trainer.report(step.losses, callbacks)  # on the device: reading a loss waits for it
    trainer.finish(callbacks)


def _add_up(losses: dict[str, Tensor], of_part: dict[str, Tensor], share: float) -> None:
    for name, loss in of_part.items():
        weighted = loss if share == 1 else share * loss
        losses[name] = losses[name] + weighted if name in losses else weighted
