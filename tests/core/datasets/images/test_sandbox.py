"""Reading in a child process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from core.datasets.images import ImageOptions, read_images_in_sandbox
from core.datasets.images.reading import read_images
from core.datasets.repository import INGEST_LEASE_S
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.settings import Limits
from tests.core.datasets.children import Usage, children
from tests.core.datasets.images.factories import (
    encoded,
    file_of,
    folders,
    idx_bytes,
    idx_of,
    npz_of,
    pixels,
    stack,
    zip_of,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def pictures_that_take_long(path: Path, count: int) -> SourceFile:
    """A twentieth of a second and more for each."""
    picture = encoded(Image.new("RGB", (2_000, 2_000)), compress_level=1)
    return zip_of(path, {f"a/{i}.png": picture for i in range(count)})


@pytest.fixture(scope="module")
def slow_source(tmp_path_factory: pytest.TempPathFactory) -> SourceFile:
    return pictures_that_take_long(tmp_path_factory.mktemp("slow") / "a.zip", 40)


@pytest.fixture(scope="module")
def endless_source(tmp_path_factory: pytest.TempPathFactory) -> SourceFile:
    """For a child that is not to reach the end."""
    return pictures_that_take_long(tmp_path_factory.mktemp("endless") / "a.zip", 1_000)


def test_a_child_gives_the_same_as_reading_here(tmp_path: Path, out: Path) -> None:
    source = zip_of(tmp_path / "a.zip", folders("10", "9", height=12))
    options = ImageOptions(resize="pad", size=(16, 16), class_names={"9": "neun", "10": "zehn"})
    there = read_images_in_sandbox([source], options, Limits(), out, 60)
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    here = read_images([source], options, Limits(), out)
    assert there == here
    assert content == {path.name: path.read_bytes() for path in out.iterdir()}
    assert [label.name for label in here.labels] == ["neun", "zehn"]
    assert json.loads(json.dumps(here.to_dict())) == here.to_dict()


def test_a_problem_comes_back_as_it_was(tmp_path: Path, out: Path) -> None:
    files = {"cats/1.png": pixels().tobytes(), "cats/ä.gif": encoded(pixels(), "GIF")}
    source = zip_of(tmp_path / "a.zip", files | folders("dogs"))
    with pytest.raises(DatasetUnreadable) as here:
        read_images([source], ImageOptions(), Limits(), out)
    with pytest.raises(DatasetUnreadable) as there:
        read_images_in_sandbox([source], ImageOptions(), Limits(), out, 60)
    assert there.value.to_problem() == here.value.to_problem()
    source = zip_of(tmp_path / "b.zip", folders("a") | folders("b", height=9))
    with pytest.raises(DatasetUnreadable) as mixed:
        read_images_in_sandbox([source], ImageOptions(), Limits(), out, 60)
    assert mixed.value.field_errors[0].allowed == ("crop", "pad", "stretch")


def test_limits_and_list_options_reach_the_child(tmp_path: Path, out: Path) -> None:
    source = npz_of(tmp_path / "a.npz", x=stack(12), y=np.arange(12) % 2)
    options = ImageOptions(class_names=("a", "b"))
    summary = read_images_in_sandbox([source], options, Limits(), out, 60)
    assert [label.name for label in summary.labels] == ["a", "b"]
    with pytest.raises(DatasetUnreadable, match="at least 13"):
        read_images_in_sandbox([source], options, Limits(images_min=13), out, 60)


def test_a_slow_child_is_ended(endless_source: SourceFile, out: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DatasetUnreadable, match="longer than 0 seconds") as caught:
        read_images_in_sandbox([endless_source], ImageOptions(resize="crop"), Limits(), out, 0.2)
    assert time.monotonic() - began < 30  # a small part of what reading it all would take
    assert caught.value.code == "dataset_unreadable"
    assert children() == []


def test_the_caller_is_called_while_it_waits(slow_source: SourceFile, out: Path) -> None:
    calls: list[float] = []
    options = ImageOptions(resize="crop")
    read_images_in_sandbox(
        [slow_source], options, Limits(), out, 60, lambda: calls.append(time.monotonic())
    )
    assert calls
    gaps = [later - sooner for sooner, later in pairwise(calls)]
    assert all(0.8 < gap < INGEST_LEASE_S for gap in gaps)  # the caller renews its lease


def test_an_exception_of_the_caller_ends_the_child(endless_source: SourceFile, out: Path) -> None:
    def deleted() -> None:
        assert len(children()) == 1
        raise KeyError("the row is gone")

    began = time.monotonic()
    with pytest.raises(KeyError, match="the row is gone"):
        read_images_in_sandbox(
            [endless_source], ImageOptions(resize="crop"), Limits(), out, 600, deleted
        )
    assert time.monotonic() - began < 30
    assert children() == []


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV, signal.SIGXCPU])
def test_a_child_that_dies_is_a_dataset_that_cannot_be_read(
    end: signal.Signals, endless_source: SourceFile, out: Path
) -> None:
    def kill() -> None:
        children()[0].send_signal(end)

    with pytest.raises(DatasetUnreadable) as caught:
        read_images_in_sandbox(
            [endless_source], ImageOptions(resize="crop"), Limits(), out, 60, kill
        )
    assert caught.value.code == "dataset_unreadable"
    assert str(out) not in str(caught.value.to_problem())
    assert "Traceback" not in str(caught.value.to_problem())


def test_an_error_of_ours_in_the_child_shows_nothing_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = npz_of(tmp_path / "a.npz", x=stack(12))
    with pytest.raises(DatasetUnreadable) as caught:  # there is no such folder to write into
        read_images_in_sandbox([source], ImageOptions(), Limits(), tmp_path / "nowhere", 60)
    assert caught.value.code == "dataset_unreadable"
    assert "nowhere" not in str(caught.value.to_problem())
    assert "FileNotFoundError" in caplog.text  # where it was and what, but not its message
    assert "nowhere" not in caplog.text


def test_the_child_inherits_no_secrets_and_few_rights(
    slow_source: SourceFile, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMBLANCE_ADMIN_KEY", "sem_secret")
    seen: dict[str, Any] = {}

    def look() -> None:
        if not (running := children()):
            return  # it has just ended
        child = running[0]
        seen["environment"] = child.environ()
        seen["group"] = os.getpgid(child.pid) == child.pid
        if sys.platform == "linux":
            seen["limits"] = {
                name: child.rlimit(getattr(psutil, name))
                for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_CORE", "RLIMIT_NOFILE")
            }

    options = ImageOptions(resize="crop")
    read_images_in_sandbox([slow_source], options, Limits(), out, 60, look)
    assert not [name for name in seen["environment"] if name.startswith("SEMBLANCE")]
    assert seen["group"]
    if sys.platform == "linux":
        assert seen["limits"]["RLIMIT_CPU"] == (61, 61)
        assert seen["limits"]["RLIMIT_CORE"] == (0, 0)
        assert seen["limits"]["RLIMIT_NOFILE"] == (256, 256)
        assert 2**32 < seen["limits"]["RLIMIT_AS"][0] < 2**33


def test_a_child_ends_when_its_parent_does(endless_source: SourceFile, out: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from core.datasets.images import ImageOptions, read_images_in_sandbox\n"
        "from core.datasets.source import SourceFile\n"
        "from core.settings import Limits\n"
        "source, out = SourceFile(Path(sys.argv[1]), 'a.zip'), Path(sys.argv[2])\n"
        "read_images_in_sandbox([source], ImageOptions(resize='crop'), Limits(), out, 600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, endless_source.path, out]) as parent:
        deadline = time.monotonic() + 60
        while not (out / "x.npy").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    child.wait(timeout=30)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Any]:
    x = np.random.default_rng(0).integers(0, 256, (200_000, 28, 28), np.uint8)
    yield x
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["npz", pytest.param("idx", marks=pytest.mark.slow)])
def test_two_hundred_thousand_images_fit_into_little_memory(
    kind: str, large: Any, tmp_path: Path, out: Path
) -> None:
    y = (np.arange(len(large)) % 10).astype(np.uint8)
    if kind == "npz":
        sources = [npz_of(tmp_path / "a.npz", compressed=False, x=large, y=y)]
    else:
        sources = [
            file_of(tmp_path / "images", idx_bytes(large[:1])[:4]),
            idx_of(tmp_path / "labels", y),
        ]
        with sources[0].path.open("ab") as file:
            file.write(np.array(large.shape, ">u4").tobytes())
            file.write(large.data)
    usage = Usage()
    summary = read_images_in_sandbox(sources, ImageOptions(), Limits(), out, 120, usage)
    assert summary.n_train == 200_000
    assert 0 < usage.peak < 300 * 2**20
    assert (np.load(out / "x.npy", mmap_mode="r")[::9_999] == large[::9_999]).all()
