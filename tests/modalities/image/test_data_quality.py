"""Data quality issues of readable image datasets."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.modalities.image.conftest import Read
from tests.modalities.image.factories import (
    encode_image,
    png_folders,
    random_images,
    write_npz,
    write_zip,
)


def smooth_image(seed: int, side: int = 32) -> Any:
    """Return an image that is smooth, as photographs are, and differs for every seed."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4), np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def test_clean_dataset_has_no_issues(tmp_path: Path, read: Read) -> None:
    x = np.stack([smooth_image(i) for i in range(200)])
    assert read(write_npz(tmp_path / "a.npz", x=x, y=np.arange(200) % 4)).summary.issues == ()


def test_exact_duplicates_are_counted_without_the_original(tmp_path: Path, read: Read) -> None:
    files = png_folders("cats", "dogs")
    files["cats/8.png"] = files["dogs/3.png"] = files["cats/2.png"]
    issue = read(write_zip(tmp_path / "a.zip", files)).issue("duplicate")
    assert issue is not None
    assert issue["count"] == 2
    assert issue["examples"] == ["cats/8.png", "dogs/3.png"]
    assert issue["severity"] == "warning"


def test_few_duplicates_among_many_images_have_severity_info(tmp_path: Path, read: Read) -> None:
    x = random_images(200)
    x[100] = x[7]
    issue = read(write_npz(tmp_path / "a.npz", x=x)).issue("duplicate")
    assert issue is not None
    assert (issue["severity"], issue["count"], issue["examples"]) == ("info", 1, ["x[100]"])


def test_rgb_image_with_equal_channels_is_a_duplicate_of_its_grayscale_image(
    tmp_path: Path, read: Read
) -> None:
    files = png_folders("cats", channels=3)
    gray = smooth_image(1, 8)
    files["cats/a.png"], files["cats/b.png"] = (
        encode_image(gray),
        encode_image(np.stack([gray] * 3, -1)),
    )
    issue = read(write_zip(tmp_path / "a.zip", files)).issue("duplicate")
    assert issue is not None
    assert issue["examples"] == ["cats/b.png"]


def test_duplicates_of_training_images_in_the_test_split_are_leaks(
    tmp_path: Path, read: Read
) -> None:
    files = png_folders("train/a", "test/a")
    files["test/a/1.png"] = files["test/a/2.png"] = files["train/a/9.png"]
    result = read(write_zip(tmp_path / "a.zip", files))
    leak, duplicates = result.issue("leaked_duplicate"), result.issue("duplicate")
    assert leak is not None
    assert duplicates is not None
    assert (leak["count"], leak["examples"]) == (2, ["test/a/1.png", "test/a/2.png"])
    assert (duplicates["count"], duplicates["examples"]) == (1, ["test/a/2.png"])
    assert leak["severity"] == "warning"


def test_reencoded_or_brightened_images_are_near_duplicates(tmp_path: Path, read: Read) -> None:
    x = np.stack([smooth_image(i) for i in range(300)])
    variants = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(encode_image(x[4], "JPEG", quality=85)))),
            np.clip(x[5].astype(int) + 3, 0, 255).astype(np.uint8),
            x[6],
        ]
    )
    result = read(write_npz(tmp_path / "a.npz", x=np.concatenate([x, variants])))
    near = result.issue("near_duplicate")
    assert near is not None
    assert near["examples"] == ["x[300]", "x[301]"]  # exact copies are a separate issue
    assert near["severity"] == "info"


def test_low_contrast_images_are_not_near_duplicates(tmp_path: Path, read: Read) -> None:
    x = np.stack([smooth_image(i) // 32 for i in range(300)])
    assert read(write_npz(tmp_path / "a.npz", x=x)).issue("near_duplicate") is None


def test_near_duplicates_of_a_large_dataset_are_searched_in_a_sample(
    tmp_path: Path, read: Read
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (10_500, 8, 8), np.uint8)
    x[5_250:] = np.where(x[:5_250] < 255, x[:5_250] + 1, 254)
    near = read(write_npz(tmp_path / "a.npz", x=x)).issue("near_duplicate")
    assert near is not None
    assert 4_500 < near["count"] < 5_250
    assert "10,000" in near["hint"]


def test_labels_with_few_images_and_imbalance_are_reported(tmp_path: Path, read: Read) -> None:
    y = np.array(["many"] * 400 + ["twenty"] * 20 + ["few"] * 19)
    result = read(write_npz(tmp_path / "a.npz", x=random_images(439), y=y))
    tiny = result.issue("tiny_class")
    assert tiny is not None
    assert (tiny["count"], tiny["examples"]) == (1, ["few"])
    imbalance = result.issue("imbalance")
    assert imbalance is not None
    assert imbalance["examples"] == ["many", "few"]
    assert "400" in imbalance["hint"]


def test_ratio_of_twenty_to_one_is_not_an_imbalance(tmp_path: Path, read: Read) -> None:
    y = np.array(["many"] * 400 + ["twenty"] * 20)
    assert read(write_npz(tmp_path / "a.npz", x=random_images(420), y=y)).issue("imbalance") is None


def test_label_that_occurs_only_in_the_test_split_is_reported(tmp_path: Path, read: Read) -> None:
    result = read(
        write_npz(
            tmp_path / "a.npz",
            x_train=random_images(40),
            y_train=np.arange(40) % 2,
            x_test=random_images(9, first=50),
            y_test=np.arange(9) % 3,
        )
    )
    absent = result.issue("absent_class")
    assert absent is not None
    assert absent["examples"] == ["2"]
    assert (result.summary.labels[2].count, result.summary.labels[2].test_count) == (0, 3)


def test_single_label_is_allowed_and_reported(tmp_path: Path, read: Read) -> None:
    result = read(write_zip(tmp_path / "a.zip", png_folders("cats", each=25)))
    assert [issue.code for issue in result.summary.issues] == ["one_class"]
    assert not result.summary.unlabeled


def test_labels_that_differ_only_in_case_stay_separate_and_are_reported(
    tmp_path: Path, read: Read
) -> None:
    y = np.array(["Cat", "cat", "dog"])[np.arange(60) % 3]
    result = read(write_npz(tmp_path / "a.npz", x=random_images(60), y=y))
    similar = result.issue("similar_labels")
    assert similar is not None
    assert similar["examples"] == ["Cat", "cat"]
    assert len(result.summary.labels) == 3


def test_labels_with_constant_images_are_reported(tmp_path: Path, read: Read) -> None:
    x = random_images(90, channels=3)
    x[:30] = np.arange(30, dtype=np.uint8)[:, None, None, None]  # each of one color
    x[30:60] = x[40]
    result = read(write_npz(tmp_path / "a.npz", x=x, y=np.arange(90) // 30))
    constant_images = result.issue("constant_images")
    assert constant_images is not None
    assert constant_images["examples"] == ["0", "1"]


def test_dataset_of_one_repeated_image_is_reported(tmp_path: Path, read: Read) -> None:
    x = np.repeat(random_images(1), 50, axis=0)
    result = read(write_npz(tmp_path / "a.npz", x=x))
    constant_images = result.issue("constant_images")
    assert constant_images is not None
    assert constant_images["severity"] == "warning"
    assert result.issue("near_duplicate") is None
    duplicates = result.issue("duplicate")
    assert duplicates is not None
    assert duplicates["count"] == 49
    assert len(duplicates["examples"]) == 5


def test_every_issue_has_a_hint(tmp_path: Path, read: Read) -> None:
    x = np.repeat(random_images(1), 50, axis=0)
    for issue in read(write_npz(tmp_path / "a.npz", x=x, y=[0] * 50)).summary.issues:
        assert set(issue.to_dict()) == {"code", "severity", "count", "examples", "hint"}
        assert len(issue.hint) > 20
