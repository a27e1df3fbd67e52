"""CUDA graphs of training steps.

A step of small networks launches hundreds of kernels, and a GPU computes them faster than Python
can launch them. A CUDA graph records the launches of the forward and backward passes once, and
replays all of them with a single launch.

A recorded step reads its batch from static buffers, into which each batch is copied, and leaves the
gradients and losses where the recorded one did. It may depend on the step in two ways only: by its
kind, which selects the graph (see `Phase.begin_step`), and by values on the device. All random
numbers are part of the batch, except for dropout masks: a replay takes the current seed of the
device's generator. Optimizer steps and averages of weights are not recorded, because their rates
change at each step; the optimizers are fused, so they launch few kernels.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.device import is_out_of_memory
from models.microbatch import Batch

log = logging.getLogger(__name__)

Losses = dict[str, Tensor]
AddGradients = Callable[[Batch], Losses]

# Steps before a recording: libraries create their handles and choose their kernels in the first.
WARM_UP_STEPS = 3


class RecordingFailed(Exception):
    """The step cannot be recorded. No more steps are; repeat the step."""


@dataclass(frozen=True)
class RecordedStep:
    """A graph and the static tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    losses: Losses
    gradients: Sequence[tuple[Tensor, Tensor]]  # of the weights that have one

    def replay(self, batch: Batch) -> Losses:
        for static, values in zip(self.batch, batch, strict=True):
            static.copy_(values)
        self.graph.replay()
        for weight, gradient in self.gradients:
            weight.grad = gradient
        return dict(self.losses)


class StepGraphs:
    """The recorded steps of one phase of a run. On a CPU, and if disabled, nothing is recorded."""

    def __init__(self, device: torch.device, *, enabled: bool = True) -> None:
        self._enabled = enabled and device.type == "cuda"
        self._device = device
        self._steps: dict[Hashable, RecordedStep] = {}
        self._warm_up: Counter[Hashable] = Counter()
        self._phase: object = None
        self._stream: torch.cuda.Stream | None = None

    def add_gradients(
        self,
        kind: Hashable | None,
        phase: object,
        weights: Callable[[], Sequence[Tensor]],
        batch: Batch,
        function: AddGradients,
    ) -> Losses:
        """Compute `function(batch)`, which adds to the gradients of `weights()`; none has one yet.

        Steps of the same kind, with batches of the same shapes, are recorded once and replayed. A
        kind of None is not recorded. The losses are valid until the next call.

        Raises:
            RecordingFailed: The step must be repeated, with the same random numbers.
        """
        if not self._enabled or kind is None:
            return function(batch)
        if phase is not self._phase:
            self.reset()
            self._phase = phase
        key = kind, tuple((tensor.shape, tensor.dtype) for tensor in batch)
        if key not in self._steps:
            if self._warm_up[key] < WARM_UP_STEPS:
                self._warm_up[key] += 1
                return self._on_side_stream(function, batch)
            self._steps[key] = self._record(weights, batch, function)
        return self._steps[key].replay(batch)

    def reset(self) -> None:
        """Forget all graphs, whose memory is free then: shapes or addresses have changed."""
        self._steps.clear()
        self._warm_up.clear()

    def _on_side_stream(self, function: AddGradients, batch: Batch) -> Losses:
        """Compute a step on the stream of later recordings, whose memory must warm up, too."""
        current = torch.cuda.current_stream(self._device)
        self._stream = self._stream or torch.cuda.Stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            losses = function(batch)
        current.wait_stream(self._stream)
        return losses

    def _record(
        self, weights: Callable[[], Sequence[Tensor]], batch: Batch, function: AddGradients
    ) -> RecordedStep:
        static = tuple(tensor.clone() for tensor in batch)
        graph = torch.cuda.CUDAGraph()
        # The graphs of a phase share memory: the values of one are read before the next replay.
        shared = next(iter(self._steps.values()), None)
        pool = None if shared is None else shared.graph.pool()
        try:
            # Other threads, such as that of the lease, may use CUDA in the meantime.
            with torch.cuda.graph(
                graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                losses = function(static)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self._enabled = False
            self.reset()
            log.warning("steps are not recorded as CUDA graphs: %s", error)
            raise RecordingFailed from error
        gradients = [(weight, weight.grad) for weight in weights() if weight.grad is not None]
        return RecordedStep(graph, static, losses, gradients)
