"""Training, resumption, sampling and evaluation of every network on a virtual GPU."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from models import step_graphs
from models.augmentation import classifiers
from models.checkpoint import unpack
from models.device import release_memory
from models.images import batched_sampling
from models.images.interpolation import LatentEndpoint, interpolate
from models.images.sampling import ImageSampler
from models.images.training import train as train_images
from models.metrics import evaluation_classifier
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.images import trained_classifiers
from models.metrics.images.evaluation import evaluate
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.training import train as train_rows
from tests.models.conftest import Steps
from tests.models.images import tiny as images
from tests.models.tabular import test_differential_privacy as privacy
from tests.models.tabular import tiny_tables as tables
from tests.virtual_gpu import CPU, GPU, VirtualGpu


@pytest.fixture(autouse=True)
def _single_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the second step of each kind: runs of a few steps replay them, too."""
    monkeypatch.setattr(step_graphs, "WARM_UP_STEPS", 1)


IMAGE_NETWORKS = [
    ("vae_gan", 3, 0.1),
    pytest.param("vae_gan", 1, 0.0, marks=pytest.mark.slow),
    pytest.param("cvae", 3, 0.0, marks=pytest.mark.slow),
    ("cgan", 3, 0.0),
    pytest.param("dcgan", 3, 0.1, marks=pytest.mark.slow),
    pytest.param("mlp", 3, 0.0, marks=pytest.mark.slow),
    pytest.param("r3gan", 3, 0.0, marks=pytest.mark.slow),
]
MAX_REPLAY_LAUNCHES = 40  # of a recorded step: the batch, a graph, optimizers and averages
MAX_UPLOADS = 5  # a step: indices or pixels, labels, noise and uniform numbers of the batch


@pytest.mark.parametrize(("architecture", "classes", "augmentation"), IMAGE_NETWORKS)
def test_an_image_network_learns_the_same_on_a_gpu(
    architecture: str,
    classes: int,
    augmentation: float,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    settings = images.make_settings(
        8,
        12,
        3,
        classes,
        architecture=architecture,
        augmentation_target=augmentation,
        r1_interval=2,
    )
    on_cpu, on_gpu = (images.RecordingCallbacks(12, 6) for _ in range(2))
    train_images(images.make_images(settings, 120), settings, on_cpu, seed=5)
    gpu, steps = (request.getfixturevalue(name) for name in ("gpu", "steps"))
    train_images(images.make_images(settings, 120), settings, on_gpu, seed=5, device=GPU)
    assert (steps.synchronizations, steps.copies) == ({}, {})
    assert max(steps.uploads) <= MAX_UPLOADS
    assert max(steps.launches[-2:]) <= MAX_REPLAY_LAUNCHES  # with and without the penalty
    assert gpu.recorded_graphs == (2 if architecture == "cvae" else 3 + (architecture == "vae_gan"))
    assert on_gpu.saved == on_cpu.saved
    assert on_gpu.metrics == on_cpu.metrics
    assert all(np.array_equal(a, b) for a, b in zip(on_gpu.previews, on_cpu.previews, strict=True))

    # The checkpoints are equal, so the one of the GPU can be resumed on a CPU, too.
    state, resumed = tmp_path / "state", images.RecordingCallbacks(12)
    state.write_bytes(on_cpu.saved[6].state)
    data = images.make_images(settings, 120)
    train_images(data, settings, resumed, seed=5, state=state, device=GPU)
    assert resumed.saved[12] == on_cpu.saved[12]

    (tmp_path / "model").write_bytes(on_gpu.saved[12].model)
    labels, indices = np.arange(9) % classes, np.arange(9)
    ends = LatentEndpoint(1, 0, 0), LatentEndpoint(1, classes - 1, 1)
    results = []
    for device in (GPU, CPU):
        sampler = ImageSampler.load(*unpack(tmp_path / "model"), device)
        pixels = batched_sampling.generate_batch(sampler, 1, labels, indices)
        results.append([pixels, interpolate(sampler, ends, 5)])
        if sampler.scorer.has_classifier:
            results[-1].append(sampler.scorer.label_confidence(pixels, labels))
        if sampler.scorer.has_critic:
            results[-1].append(sampler.scorer.realness(pixels, labels))
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_unlabeled_images_are_used_on_a_gpu(gpu: VirtualGpu) -> None:
    settings, callbacks = images.make_settings(), images.RecordingCallbacks(12)
    data = images.make_images(settings, 100)
    data.unlabeled, data.train = data.train[-40:], data.train[:-40]
    train_images(data, settings, callbacks, seed=5, device=GPU)
    assert any("pseudo_labels" in metrics for metrics in callbacks.metrics.values())


def test_images_that_do_not_fit_are_uploaded_by_batch(gpu: VirtualGpu, steps: Steps) -> None:
    settings, callbacks = images.make_settings(architecture="mlp"), images.RecordingCallbacks(6)
    data = images.make_images(settings)
    assert data.on(GPU).resident is not None
    with patch.object(torch.cuda, "mem_get_info", lambda device: (data.pixels.nbytes, 2**34)):
        assert data.on(GPU).resident is None
        train_images(data, settings, callbacks, seed=5, device=GPU)
    assert (steps.synchronizations, steps.copies) == ({}, {})


@pytest.mark.parametrize("classes", [3, 1])
def test_images_are_evaluated_the_same_on_a_gpu(
    classes: int, gpu: VirtualGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_classifier, "STEPS", (4, 4))
    for name in ("TSTR_STEPS", "DETECTION_STEPS"):
        monkeypatch.setattr(trained_classifiers, name, (4, 4))
    settings = images.make_settings(classes=classes)
    data = images.make_images(settings, 200)
    rng = np.random.default_rng(1)
    synthetic = data.pixels[:100] ^ rng.integers(0, 8, data.pixels[:100].shape, np.uint8)
    names = [f"label {k}" for k in range(classes)] if classes > 1 else []
    results = []
    for device in (CPU, GPU):
        classifier = EvaluationClassifier.fit(data, classes, _never_stop, device=device)
        results.append(
            evaluate(
                EvaluationClassifier.unpack(classifier.pack(), (1, 8, 8), classes, device),
                data,
                (synthetic, data.labels[:100].astype(np.int64)),
                names,
                seed=1,
                check_stop=_never_stop,
                device=device,
            )
        )
    assert [s.to_dict() for s in results[0].scores] == [s.to_dict() for s in results[1].scores]


def _never_stop() -> None:
    """Continue."""


TABLE_NETWORKS = [
    {},
    pytest.param(
        {"dropout": 0.2, "random_order_prob": 0.5, "label_contrast": 3.0}, marks=pytest.mark.slow
    ),
    pytest.param({"architecture": "gan"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("overrides", TABLE_NETWORKS)
def test_a_table_network_learns_the_same_on_a_gpu(
    overrides: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    table, schema = tables.make_people(300)
    if overrides.get("architecture") != "gan":
        # Few steps do not teach the generator that columns are equal: the critic rejects rows.
        for name in ("a", "b", "c"):
            table = table.append_column(name, table.column("label"))
            schema += (ColumnSchema(name, "category"),)
        overrides = overrides | {"relations": False, "critic_lr": 0.02}
        overrides |= {"critic_budget_fraction": 0.5, "rejection_min_auc": 0.5}
    settings = tables.make_settings(table, **overrides)
    rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.2, seed=1)
    on_cpu, on_gpu = (tables.RecordingCallbacks(24, (12,)) for _ in range(2))
    train_rows(rows, settings, on_cpu, seed=1)
    gpu, steps = (request.getfixturevalue(name) for name in ("gpu", "steps"))
    train_rows(rows, settings, on_gpu, seed=1, device=GPU)
    assert (steps.synchronizations, steps.copies) == ({}, {})
    assert max(steps.uploads) <= MAX_UPLOADS
    assert (gpu.recorded_graphs > 0) == (settings.architecture == "autoregressive")
    if gpu.recorded_graphs:
        assert steps.launches[-1] <= MAX_REPLAY_LAUNCHES  # of the critic
    assert on_gpu.saved == on_cpu.saved
    assert on_gpu.metrics == on_cpu.metrics

    state, resumed = tmp_path / "state", tables.RecordingCallbacks(24)
    state.write_bytes(on_cpu.saved[12].state)
    train_rows(rows, settings, resumed, seed=1, state=state, device=GPU)
    assert resumed.last_checkpoint == on_cpu.last_checkpoint

    (tmp_path / "model").write_bytes(on_gpu.last_checkpoint.model)
    results = []
    for device in (GPU, CPU):
        sampler = TableSampler.load(*unpack(tmp_path / "model"), device)
        sampled = sampler.sample(3, np.arange(50), {"label": "yes"}).rows
        results.append([sampled])
        assert (sampler.critic is not None) == (settings.architecture == "autoregressive")
        if settings.architecture == "autoregressive":
            results[-1].append(sampler.realness(sampled).tolist())
            partial = PartialRows.parse(sampler.tokenizer, [{"age": 40, "label": "no"}] * 3)
            results[-1].append(complete_rows(sampler, 3, np.arange(3), partial).rows)
    assert results[0] == results[1]


def test_rows_are_learned_privately_the_same_on_a_gpu(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.randbits", lambda bits: 7)  # the same noise in each run
    rows = privacy.split_rows(privacy.make_residents(1))
    on_cpu, on_gpu = (tables.RecordingCallbacks(6, (3,)) for _ in range(2))
    privacy.train_privately(rows, on_cpu)
    steps = request.getfixturevalue("steps")
    privacy.train_privately(rows, on_gpu, device=GPU)
    assert (steps.synchronizations, steps.copies) == ({}, {})
    assert len(steps.launches) == 6
    assert on_gpu.saved == on_cpu.saved

    state = tmp_path / "state"
    state.write_bytes(on_cpu.saved[3].state)
    resumed = privacy.train_privately(rows, tables.RecordingCallbacks(6), state=state, device=GPU)
    assert resumed.last_checkpoint == on_cpu.last_checkpoint
    (tmp_path / "model").write_bytes(on_gpu.last_checkpoint.model)
    sampled = [
        TableSampler.load(*unpack(tmp_path / "model"), device).sample(3, np.arange(50)).rows
        for device in (GPU, CPU)
    ]
    assert sampled[0] == sampled[1]


def test_classifiers_of_a_lift_experiment_learn_the_same_on_a_gpu(
    gpu: VirtualGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifiers, "STEPS", (4, 4))
    data = images.make_images(images.make_settings())
    masks = []
    for device in (CPU, GPU):
        train = classifiers.build_image_trainer(data, 3, len(data.train), _never_stop, device)
        launched = gpu.launches.total()
        masks.append(train(data.train, 1))
    assert gpu.launches.total() > launched
    assert np.array_equal(*masks)


@pytest.mark.parametrize(
    ("architecture", "feature_width", "steps"),
    # The step in which the critic joins; the features of dcgan, its first step, and its first step
    # with a penalty. On some machines, steps before or after these need the smaller size.
    [("vae_gan", 8, {2}), ("dcgan", 16, {0, 2, 8})],
)
def test_a_run_continues_with_smaller_parts_when_memory_runs_out(
    architecture: str, feature_width: int, steps: set[int], gpu: VirtualGpu
) -> None:
    settings = images.make_settings(
        architecture=architecture, batch_size=256, feature_width=feature_width
    )
    callbacks = images.RecordingCallbacks(10)
    gpu.memory_bytes = 100_000
    train_images(images.make_images(settings, 400), settings, callbacks, seed=5, device=GPU)
    assert len(callbacks.warnings) > 1
    warned = {step for step, _ in callbacks.warnings}
    assert steps <= warned
    assert len(warned) <= 4  # a size that fits stays for the steps that follow
    sizes = {int(text.split(" with ")[1].split()[0]) for _, text in callbacks.warnings}
    assert sizes == {128, 64}  # whatever step needs them, no smaller ones
    assert gpu.emptied_caches >= len(callbacks.warnings)
    assert callbacks.saved[10].parameters
    assert gpu.recorded_graphs > 0  # of the smaller parts


def test_a_run_leaves_no_memory_on_the_gpu(gpu: VirtualGpu) -> None:
    settings, callbacks = images.make_settings(), images.RecordingCallbacks(12)
    train_images(images.make_images(settings, 200), settings, callbacks, seed=5, device=GPU)
    release_memory(GPU)
    assert gpu.allocated_bytes == 0
