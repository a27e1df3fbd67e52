"""Reading of images in a sandboxed child process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.ingest import read_images_in_sandbox
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.reading import read_images
from tests.core.datasets.children import PeakMemory, list_children
from tests.modalities.image.factories import (
    encode_image,
    idx_bytes,
    png_folders,
    random_images,
    random_pixels,
    write_file,
    write_idx,
    write_npz,
    write_zip,
)
from tests.processes import TIMEOUT_S, eventually


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def endless_source(tmp_path_factory: pytest.TempPathFactory) -> SourceFile:
    """Upload that takes longer to read than any test waits: at least 0.05 s for each image."""
    image = encode_image(Image.new("RGB", (2_000, 2_000)), compress_level=1)
    files = {f"a/{i}.png": image for i in range(1_000)}
    return write_zip(tmp_path_factory.mktemp("endless") / "a.zip", files)


def test_reading_in_the_sandbox_equals_reading_in_process(tmp_path: Path, out: Path) -> None:
    source = write_zip(tmp_path / "a.zip", png_folders("10", "9", height=12))
    options = ImageOptions(resize="pad", size=(16, 16), class_names={"9": "neun", "10": "zehn"})
    sandboxed = read_images_in_sandbox([source], options, Limits(), out, 60)
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    in_process = read_images([source], options, Limits(), out)
    assert sandboxed == in_process
    assert content == {path.name: path.read_bytes() for path in out.iterdir()}
    assert [label.name for label in in_process.labels] == ["neun", "zehn"]
    assert json.loads(json.dumps(in_process.to_dict())) == in_process.to_dict()


def test_errors_in_the_sandbox_equal_errors_in_process(tmp_path: Path, out: Path) -> None:
    files = {
        "cats/1.png": random_pixels().tobytes(),
        "cats/ä.ico": encode_image(random_pixels(), "ICO"),
    }
    source = write_zip(tmp_path / "a.zip", files | png_folders("dogs"))
    strict = ImageOptions(max_bad_share=0)
    with pytest.raises(DatasetUnreadable) as in_process:
        read_images([source], strict, Limits(), out)
    with pytest.raises(DatasetUnreadable) as sandboxed:
        read_images_in_sandbox([source], strict, Limits(), out, 60)
    assert sandboxed.value.to_problem() == in_process.value.to_problem()
    source = write_zip(tmp_path / "b.zip", png_folders("a") | png_folders("b", height=9))
    with pytest.raises(DatasetUnreadable) as mixed:
        read_images_in_sandbox([source], ImageOptions(), Limits(), out, 60)
    assert mixed.value.field_errors[0].allowed == ("crop", "pad", "stretch")


def test_limits_and_tuple_options_reach_the_sandbox(tmp_path: Path, out: Path) -> None:
    source = write_npz(tmp_path / "a.npz", x=random_images(12), y=np.arange(12) % 2)
    options = ImageOptions(class_names=("a", "b"))
    summary = read_images_in_sandbox([source], options, Limits(), out, 60)
    assert [label.name for label in summary.labels] == ["a", "b"]
    with pytest.raises(DatasetUnreadable, match="at least 13"):
        read_images_in_sandbox([source], options, Limits(images_min=13), out, 60)


def test_sandbox_is_terminated_after_its_timeout(endless_source: SourceFile, out: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DatasetUnreadable, match="longer than 0 seconds") as caught:
        read_images_in_sandbox([endless_source], ImageOptions(resize="crop"), Limits(), out, 0.2)
    assert time.monotonic() - began < 30  # far less than reading everything takes
    assert caught.value.code == "dataset_unreadable"
    assert list_children() == []


def read_until(on_wait: Callable[[], bool], source: SourceFile, out: Path) -> None:
    """Read the images in a sandbox until `on_wait`, which it calls, returns True."""

    class Ended(Exception):
        pass

    def end() -> None:
        if on_wait():
            raise Ended

    with pytest.raises(Ended):
        read_images_in_sandbox([source], ImageOptions(resize="crop"), Limits(), out, 600, end)


def test_heartbeat_is_called_at_most_once_a_second_while_the_sandbox_runs(
    endless_source: SourceFile, out: Path
) -> None:
    calls: list[int] = []

    def count_call() -> bool:
        calls.append(len(list_children()))
        return len(calls) == 3

    began = time.monotonic()
    read_until(count_call, endless_source, out)
    assert time.monotonic() - began >= 3
    assert calls == [1, 1, 1]


def test_exception_in_the_heartbeat_terminates_the_sandbox(
    endless_source: SourceFile, out: Path
) -> None:
    def fail() -> None:
        assert len(list_children()) == 1
        raise KeyError("the row is gone")

    began = time.monotonic()
    with pytest.raises(KeyError, match="the row is gone"):
        read_images_in_sandbox(
            [endless_source], ImageOptions(resize="crop"), Limits(), out, 600, fail
        )
    assert time.monotonic() - began < 30
    assert list_children() == []


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGXCPU])
def test_sandbox_killed_by_a_signal_is_reported_as_an_unreadable_dataset(
    signal_number: signal.Signals, endless_source: SourceFile, out: Path
) -> None:
    def kill() -> None:
        list_children()[0].send_signal(signal_number)

    with pytest.raises(DatasetUnreadable) as caught:
        read_images_in_sandbox(
            [endless_source], ImageOptions(resize="crop"), Limits(), out, 60, kill
        )
    assert caught.value.code == "dataset_unreadable"
    assert str(out) not in str(caught.value.to_problem())
    assert "Traceback" not in str(caught.value.to_problem())


def test_internal_error_in_the_sandbox_exposes_no_details(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_npz(tmp_path / "a.npz", x=random_images(12))
    with pytest.raises(DatasetUnreadable) as caught:  # the output folder does not exist
        read_images_in_sandbox([source], ImageOptions(), Limits(), tmp_path / "nowhere", 60)
    assert caught.value.code == "dataset_unreadable"
    assert "nowhere" not in str(caught.value.to_problem())
    assert "FileNotFoundError" in caplog.text  # the type and the location, but not the message
    assert "nowhere" not in caplog.text


def test_sandbox_inherits_no_secrets_and_has_resource_limits(
    endless_source: SourceFile, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMBLANCE_ADMIN_KEY", "sem_secret")
    seen: dict[str, Any] = {}

    def inspect_child() -> bool:
        (child,) = list_children()
        seen["environment"] = child.environ()
        seen["group"] = os.getpgid(child.pid) == child.pid
        if sys.platform == "linux":
            seen["limits"] = {
                name: child.rlimit(getattr(psutil, name))
                for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_NOFILE")
            }
        return True

    read_until(inspect_child, endless_source, out)
    assert not [name for name in seen["environment"] if name.startswith("SEMBLANCE")]
    assert seen["group"]
    if sys.platform == "linux":
        assert seen["limits"]["RLIMIT_CPU"] == (601, 601)
        assert seen["limits"]["RLIMIT_CORE"] == (0, 0)
        assert seen["limits"]["RLIMIT_NOFILE"] == (256, 256)
        assert 2**32 < seen["limits"]["RLIMIT_AS"][0] < 2**33


def test_sandbox_ends_when_its_parent_is_killed(endless_source: SourceFile, out: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from modalities.image.ingest import read_images_in_sandbox\n"
        "from modalities.image.upload.options import ImageOptions\n"
        "from core.datasets.source import SourceFile\n"
        "from core.settings import Limits\n"
        "source, out = SourceFile(Path(sys.argv[1]), 'a.zip'), Path(sys.argv[2])\n"
        "read_images_in_sandbox([source], ImageOptions(resize='crop'), Limits(), out, 600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, endless_source.path, out]) as parent:
        try:
            eventually((out / "x.npy").exists)
            server, sandbox = psutil.Process(parent.pid).children(recursive=True)
        finally:
            parent.kill()
    sandbox.wait(timeout=TIMEOUT_S)
    server.wait(timeout=TIMEOUT_S)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Any]:
    x = np.random.default_rng(0).integers(0, 256, (200_000, 28, 28), np.uint8)
    yield x
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["npz", pytest.param("idx", marks=pytest.mark.slow)])
def test_reading_200_000_images_uses_less_than_300_mib(
    kind: str, large: Any, tmp_path: Path, out: Path
) -> None:
    y = (np.arange(len(large)) % 10).astype(np.uint8)
    if kind == "npz":
        sources = [write_npz(tmp_path / "a.npz", compressed=False, x=large, y=y)]
    else:
        sources = [
            write_file(tmp_path / "images", idx_bytes(large[:1])[:4]),
            write_idx(tmp_path / "labels", y),
        ]
        with sources[0].path.open("ab") as file:
            file.write(np.array(large.shape, ">u4").tobytes())
            file.write(large.data)
    usage = PeakMemory()
    summary = read_images_in_sandbox(sources, ImageOptions(), Limits(), out, 120, usage)
    assert summary.n_train == 200_000
    assert 0 < usage.peak < 300 * 2**20
    assert (np.load(out / "x.npy", mmap_mode="r")[::9_999] == large[::9_999]).all()
