"""Prometheus metrics of the sampler, which all applications of a process share."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.request_metrics import DURATION_BUCKETS
from modalities.registry import installed

# Not in a registry yet: each application registers them in its own.
_samples = Counter(
    "semblance_samples_generated_total",
    "Images and rows that sample requests have generated, with the images that "
    "`min_label_confidence` rejects.",
    ("modality",),
    registry=None,
)
_batches = Histogram(
    "semblance_sampling_batch_duration_seconds",
    "Time to generate a batch of samples, in seconds.",
    ("modality",),
    buckets=DURATION_BUCKETS,
    registry=None,
)


def register(registry: CollectorRegistry) -> None:
    for modality in installed():  # their series are zero before the first samples
        _samples.labels(modality)
        _batches.labels(modality)
    registry.register(_samples)
    registry.register(_batches)


def record_batch(modality: str, samples: int, seconds: float) -> None:
    _samples.labels(modality).inc(samples)
    _batches.labels(modality).observe(seconds)
