"""Sampling service: generates samples of cached models, in turns and in shared batches."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any, Self

import torch
from numpy.typing import NDArray

from app import sampling_metrics
from app.sampling.batcher import Batcher, BatchRequest, ClientDisconnected
from app.sampling.concurrency_limit import in_flight
from app.sampling.fair_lock import FairLock
from app.sampling.model_cache import ModelCache, get_model_cache
from core import tracing
from core.errors import FieldError, Unavailable, ValidationFailed
from core.settings import get_settings
from core.tables import Model
from modalities import registry
from modalities.sampling import Batch, SamplingPlan
from modalities.selection import Selection
from modalities.turns import BatchSource
from models.device import is_broken_context
from models.errors import AcceptanceRateTooLow

log = logging.getLogger(__name__)


class SampleStream(Iterator[Batch]):
    """Iterator over the batches of a plan, and the turns in which they are generated.

    `close` may be called from any thread. It releases the model and cancels pending batch requests;
    a thread that waits for the next batch then gets ClientDisconnected.

    Creation raises Unavailable if the model cannot be loaded, and iteration ValidationFailed if the
    model cannot meet the request.
    """

    def __init__(self, service: "SamplingService", model: Model, plan: SamplingPlan) -> None:
        self._service, self._modality, self._tenant = service, model.modality, model.tenant_id
        self._lock = threading.Lock()
        self._closed = False
        self._requests: list[BatchRequest] = []
        self._turn_s = 0.0  # time of the turns since the last batch
        with ExitStack() as resources:
            self.sampler = resources.enter_context(service.cache.lease(model))
            resources.callback(service.batcher.cancel, self._requests)
            self._batches = iter(self.sampler.draw(plan, self))
            self._resources = resources.pop_all()

    def __next__(self) -> Batch:
        try:
            batch = next(self._batches)
        except StopIteration:
            with self._lock:
                self._resources.close()
            raise
        except AcceptanceRateTooLow as error:
            raise _acceptance_error(error) from error
        except Exception as error:
            self._service.check_device(error)
            raise
        if not self._requests:  # else the batcher records the batches
            sampling_metrics.record_batch(self._modality, len(batch), self._turn_s)
            now = time.time()
            tracing.record_span("generate", now - self._turn_s, now, {"samples": len(batch)})
            self._turn_s = 0.0
        return batch

    @contextmanager
    def take(self) -> Iterator[None]:
        with self._service.sampling_lock.take(self._tenant):
            if self._closed:
                raise ClientDisconnected
            started = time.monotonic()
            yield
            self._turn_s += time.monotonic() - started

    def submit(self, source: BatchSource, columns: Sequence[NDArray[Any]]) -> BatchRequest:
        with self._lock:
            if self._closed:
                raise ClientDisconnected
            request = self._service.batcher.submit(self._tenant, source, columns, self._modality)
            pending = [earlier for earlier in self._requests if not earlier.done.is_set()]
            self._requests[:] = [*pending, request]
            return request

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class SamplingService:
    def __init__(
        self,
        cache: ModelCache,
        window_s: float,
        *,
        stop_process: Callable[[], object] = lambda: os.kill(os.getpid(), signal.SIGTERM),
    ) -> None:
        """Create the service. `stop_process` stops the server if its GPU fails."""
        self.cache, self._stop_process = cache, stop_process
        # One batch at a time: torch already uses all of its threads for each batch.
        self.sampling_lock = FairLock()
        self.batcher = Batcher(self.sampling_lock, window_s, expected=in_flight)

    def check_device(self, error: Exception) -> None:
        """Stop the server if the error shows that its GPU failed: only a new process can use it.

        Raises:
            Unavailable: The GPU failed.
        """
        if get_settings().sampling_device == "cpu" or not is_broken_context(error):
            return
        log.critical("the GPU failed; stopping the server", extra={"cause": str(error)[:200]})
        self._stop_process()
        raise Unavailable(
            "The GPU of this server failed. The server restarts; retry the request.",
            code="device_lost",
            headers={"Retry-After": "10"},
        ) from error

    def warm_up(self, model: Model) -> None:
        """Load the model and generate one batch, because the first batch takes longest."""
        modality = registry.get(model.modality)
        options = modality.selection_options()
        plan = modality.plan_selection(model.manifest, Selection(count=1), options, seed=0)
        with SampleStream(self, model, plan) as stream:
            next(stream)


def _acceptance_error(error: AcceptanceRateTooLow) -> ValidationFailed:
    return ValidationFailed(
        str(error),
        code="acceptance_rate_too_low",
        field_errors=[FieldError(error.pointer, "acceptance_rate_too_low", str(error))],
        generated=error.accepted,
        requested=error.requested,
        acceptance_rate=error.acceptance_rate,
    )


@lru_cache
def get_sampling_service() -> SamplingService:
    settings = get_settings()
    torch.set_num_threads(settings.sampler_threads)
    return SamplingService(get_model_cache(), settings.batch_window_seconds)
