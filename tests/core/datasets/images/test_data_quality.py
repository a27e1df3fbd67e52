"""What is reported of a set that can be learned from."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.core.datasets.images.conftest import Read
from tests.core.datasets.images.factories import encoded, folders, npz_of, stack, zip_of


def scene(seed: int, side: int = 32) -> Any:
    """Smooth, as photographs are, and different for every seed."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4), np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def test_a_sound_set_has_no_issues(tmp_path: Path, read: Read) -> None:
    x = np.stack([scene(i) for i in range(200)])
    assert read(npz_of(tmp_path / "a.npz", x=x, y=np.arange(200) % 4)).summary.issues == ()


def test_exact_copies_are_counted_without_their_first(tmp_path: Path, read: Read) -> None:
    files = folders("cats", "dogs")
    files["cats/8.png"] = files["dogs/3.png"] = files["cats/2.png"]
    issue = read(zip_of(tmp_path / "a.zip", files)).issue("duplicate")
    assert issue is not None
    assert issue["count"] == 2
    assert issue["examples"] == ["cats/8.png", "dogs/3.png"]
    assert issue["severity"] == "warning"


def test_few_copies_among_many_are_only_information(tmp_path: Path, read: Read) -> None:
    x = stack(200)
    x[100] = x[7]
    issue = read(npz_of(tmp_path / "a.npz", x=x)).issue("duplicate")
    assert issue is not None
    assert (issue["severity"], issue["count"], issue["examples"]) == ("info", 1, ["x[100]"])


def test_a_colour_that_is_grey_is_a_copy_of_the_grey(tmp_path: Path, read: Read) -> None:
    files = folders("cats", channels=3)
    grey = scene(1, 8)
    files["cats/a.png"], files["cats/b.png"] = encoded(grey), encoded(np.stack([grey] * 3, -1))
    issue = read(zip_of(tmp_path / "a.zip", files)).issue("duplicate")
    assert issue is not None
    assert issue["examples"] == ["cats/b.png"]


def test_held_out_copies_of_training_images_are_leaks(tmp_path: Path, read: Read) -> None:
    files = folders("train/a", "test/a")
    files["test/a/1.png"] = files["test/a/2.png"] = files["train/a/9.png"]
    result = read(zip_of(tmp_path / "a.zip", files))
    leak, copies = result.issue("leaked_duplicate"), result.issue("duplicate")
    assert leak is not None
    assert copies is not None
    assert (leak["count"], leak["examples"]) == (2, ["test/a/1.png", "test/a/2.png"])
    assert (copies["count"], copies["examples"]) == (1, ["test/a/2.png"])
    assert leak["severity"] == "warning"


def test_images_saved_again_are_near_duplicates(tmp_path: Path, read: Read) -> None:
    x = np.stack([scene(i) for i in range(300)])
    again = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(encoded(x[4], "JPEG", quality=85)))),
            np.clip(x[5].astype(int) + 3, 0, 255).astype(np.uint8),
            x[6],
        ]
    )
    result = read(npz_of(tmp_path / "a.npz", x=np.concatenate([x, again])))
    near = result.issue("near_duplicate")
    assert near is not None
    assert near["examples"] == ["x[300]", "x[301]"]  # an exact copy is told elsewhere
    assert near["severity"] == "info"


def test_a_set_of_low_contrast_is_not_called_near_duplicates(tmp_path: Path, read: Read) -> None:
    x = np.stack([scene(i) // 32 for i in range(300)])
    assert read(npz_of(tmp_path / "a.npz", x=x)).issue("near_duplicate") is None


def test_of_a_large_set_a_sample_is_looked_at(tmp_path: Path, read: Read) -> None:
    x = np.random.default_rng(0).integers(0, 256, (10_500, 8, 8), np.uint8)
    x[5_250:] = np.where(x[:5_250] < 255, x[:5_250] + 1, 254)
    near = read(npz_of(tmp_path / "a.npz", x=x)).issue("near_duplicate")
    assert near is not None
    assert 4_500 < near["count"] < 5_250
    assert "10,000" in near["hint"]


def test_labels_with_few_images_are_told(tmp_path: Path, read: Read) -> None:
    y = np.array(["many"] * 400 + ["twenty"] * 20 + ["few"] * 19)
    result = read(npz_of(tmp_path / "a.npz", x=stack(439), y=y))
    tiny = result.issue("tiny_class")
    assert tiny is not None
    assert (tiny["count"], tiny["examples"]) == (1, ["few"])
    imbalance = result.issue("imbalance")
    assert imbalance is not None
    assert imbalance["examples"] == ["many", "few"]
    assert "400" in imbalance["hint"]


def test_twenty_to_one_is_no_imbalance(tmp_path: Path, read: Read) -> None:
    y = np.array(["many"] * 400 + ["twenty"] * 20)
    assert read(npz_of(tmp_path / "a.npz", x=stack(420), y=y)).issue("imbalance") is None


def test_a_label_that_is_only_held_out_is_told(tmp_path: Path, read: Read) -> None:
    result = read(
        npz_of(
            tmp_path / "a.npz",
            x_train=stack(40),
            y_train=np.arange(40) % 2,
            x_test=stack(9, first=50),
            y_test=np.arange(9) % 3,
        )
    )
    absent = result.issue("absent_class")
    assert absent is not None
    assert absent["examples"] == ["2"]
    assert (result.summary.labels[2].count, result.summary.labels[2].test_count) == (0, 3)


def test_one_label_is_allowed_and_told(tmp_path: Path, read: Read) -> None:
    result = read(zip_of(tmp_path / "a.zip", folders("cats", each=25)))
    assert [issue.code for issue in result.summary.issues] == ["one_class"]
    assert not result.summary.unlabeled


def test_labels_that_differ_in_case_are_kept_and_told(tmp_path: Path, read: Read) -> None:
    y = np.array(["Cat", "cat", "dog"])[np.arange(60) % 3]
    result = read(npz_of(tmp_path / "a.npz", x=stack(60), y=y))
    similar = result.issue("similar_labels")
    assert similar is not None
    assert similar["examples"] == ["Cat", "cat"]
    assert len(result.summary.labels) == 3


def test_labels_with_nothing_to_learn_are_told(tmp_path: Path, read: Read) -> None:
    x = stack(90, channels=3)
    x[:30] = np.arange(30, dtype=np.uint8)[:, None, None, None]  # each of one colour
    x[30:60] = x[40]
    result = read(npz_of(tmp_path / "a.npz", x=x, y=np.arange(90) // 30))
    constant_images = result.issue("constant_images")
    assert constant_images is not None
    assert constant_images["examples"] == ["0", "1"]


def test_a_set_of_one_image_many_times_is_told(tmp_path: Path, read: Read) -> None:
    x = np.repeat(stack(1), 50, axis=0)
    result = read(npz_of(tmp_path / "a.npz", x=x))
    constant_images = result.issue("constant_images")
    assert constant_images is not None
    assert constant_images["severity"] == "warning"
    assert result.issue("near_duplicate") is None
    copies = result.issue("duplicate")
    assert copies is not None
    assert copies["count"] == 49
    assert len(copies["examples"]) == 5


def test_every_issue_says_what_to_do(tmp_path: Path, read: Read) -> None:
    x = np.repeat(stack(1), 50, axis=0)
    for issue in read(npz_of(tmp_path / "a.npz", x=x, y=[0] * 50)).summary.issues:
        assert set(issue.to_dict()) == {"code", "severity", "count", "examples", "hint"}
        assert len(issue.hint) > 20
