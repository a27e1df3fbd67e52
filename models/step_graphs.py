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
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from models.device import is_out_of_memory
from models.microbatch import Batch

log = logging.getLogger(__name__)

Losses = dict[str, Tensor]

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


@dataclass
class Step:
    """The batch of a step, and the losses computed with it."""

    batch: Batch
    losses: Losses = field(default_factory=dict)
    is_computed: bool = False  # by a replay, with the gradients


class StepGraphs:
    """The recorded steps of one phase of a run. On a CPU, and if disabled, nothing is recorded."""

    def __init__(self, device: torch.device, *, enabled: bool = True) -> None:
        self._enabled = enabled and device.type == "cuda"
        self._device = device
        self._steps: dict[Hashable, RecordedStep] = {}
        self._warm_up: Counter[Hashable] = Counter()
        self._phase: object = None
        self._stream: torch.cuda.Stream | None = None

    @contextmanager
    def step(
        self, kind: Hashable | None, phase: object, optimizers: Sequence[Optimizer], batch: Batch
    ) -> Iterator[Step]:
        """Yield a step for a block that adds to the gradients and sets the losses of the step.

        No weight of the optimizers has a gradient yet. If the step is computed, the block has
        nothing to do.
        Steps of the same kind, with batches of the same shapes, are recorded once and replayed. A
        kind of None is not recorded. The losses are valid until the next step.

        Raises:
            RecordingFailed: The step must be repeated, with the same random numbers.
        """
        if not self._enabled or kind is None:
            yield Step(batch)
            return
        if phase is not self._phase:
            self.reset()
            self._phase = phase
        key = kind, tuple((tensor.shape, tensor.dtype) for tensor in batch)
        if key in self._steps:
            yield Step(batch, self._steps[key].replay(batch), is_computed=True)
        elif self._warm_up[key] < WARM_UP_STEPS:
            self._warm_up[key] += 1
            with self._side_stream():
                yield Step(batch)
        else:
            step = Step(tuple(tensor.clone() for tensor in batch))
            with self._capture() as graph:
                yield step
            gradients = [
                (weight, weight.grad)
                for optimizer in optimizers
                for group in optimizer.param_groups
                for weight in group["params"]
                if weight.grad is not None
            ]
            self._steps[key] = RecordedStep(graph, step.batch, step.losses, gradients)
            step.losses = self._steps[key].replay(batch)  # a capture computes nothing

    def reset(self) -> None:
        """Forget all graphs, whose memory is free then: shapes or addresses have changed."""
        self._steps.clear()
        self._warm_up.clear()

    @contextmanager
    def _side_stream(self) -> Iterator[None]:
        """Compute on the stream of later recordings, whose memory must warm up, too."""
        current = torch.cuda.current_stream(self._device)
        self._stream = self._stream or torch.cuda.Stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    @contextmanager
    def _capture(self) -> Iterator[torch.cuda.CUDAGraph]:
        graph = torch.cuda.CUDAGraph()
        # The graphs of a phase share memory: the values of one are read before the next replay.
        shared = next(iter(self._steps.values()), None)
        pool = None if shared is None else shared.graph.pool()
        try:
            # Other threads, such as that of the lease, may use CUDA in the meantime.
            with torch.cuda.graph(
                graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                yield graph
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self._enabled = False
            self.reset()
            log.warning("steps are not recorded as CUDA graphs: %s", error)
            raise RecordingFailed from error
