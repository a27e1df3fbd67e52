"""Decoding of image files and rejection of unusable ones."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from core.limits import Limits
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    Pixels,
    encode_image,
    png_folders,
    random_pixels,
    random_png,
    write_zip,
)


def png_header(width: int, height: int, depth: int = 1, color: int = 0) -> bytes:
    """Build a PNG with a header of this size and almost no data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">L", zlib.crc32(kind + content))
        return struct.pack(">L", len(content)) + kind + content + checksum

    head = struct.pack(">2L5B", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(20)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def gradient_image(height: int = 16, width: int = 16) -> Pixels:
    """Return a gradient, dark at the top left, which JPEG hardly changes."""
    rows, columns = np.mgrid[0:height, 0:width]
    return (255 * (rows + 2 * columns) / (height + 2 * width)).astype(np.uint8)


def with_other_images(content: bytes, name: str = "x.png", **shape: int) -> dict[str, bytes]:
    """Return the files of a dataset whose first image is `content`.

    `shape` is the size of the other images.
    """
    return {f"cats/{name}": content} | png_folders("dogs", **shape)


def encode_with_orientation(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    return encode_image(gradient_image(), kind, exif=exif, **options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("WEBP", {})],
)
def test_png_jpeg_and_webp_are_read(
    kind: str, options: dict[str, int], tmp_path: Path, read: Read
) -> None:
    files = with_other_images(encode_image(gradient_image(), kind, **options), height=16, width=16)
    _, x, _ = read(write_zip(tmp_path / "a.zip", files))
    gray = x[0] if x.ndim == 3 else x[0].mean(axis=-1)
    assert np.abs(gray - gradient_image().astype(int)).mean() < 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "image_unreadable"),
        (b"not an image at all", "image_unreadable"),
        (b"PK\x03\x04" + bytes(50), "image_unreadable"),
        (random_png(1)[:-30], "image_unreadable"),
        (random_png(1)[:20], "image_unreadable"),
        (encode_image(gradient_image(64, 64), "JPEG")[:-400], "image_unreadable"),
        (encode_image(gradient_image(64, 64), "JPEG")[:10], "image_unreadable"),
        (encode_image(gradient_image(64, 64), "WEBP", lossless=True)[:-20], "image_unreadable"),
        (png_header(16, 16), "image_unreadable"),
        (encode_image(random_pixels(), "GIF")[:60], "image_unreadable"),
        (encode_image(random_pixels(), "BMP")[:60], "image_unreadable"),
        (encode_image(random_pixels(), "TIFF")[:60], "image_unreadable"),
        (encode_image(random_pixels(), "ICO"), "image_format"),
        (encode_image(random_pixels(), "JPEG2000"), "image_format"),
        (encode_image(random_pixels(), "DDS"), "image_format"),
        (encode_image(random_pixels(0, 16, 16), "AVIF"), "image_format"),
        (b"8BPS\0\1" + bytes(50), "image_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "image_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image_format"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "image_format"),
        (png_header(20_000, 20_000), "image_too_large"),
        (png_header(100_000, 100_000), "image_too_large"),
        (png_header(10, 8_193), "image_too_large"),
        (png_header(7_000, 7_000), "image_too_large"),
        (random_png(1, 1, 1), "image_too_small"),
        (random_png(1, 7, 8), "image_too_small"),
        (png_header(10_000, 1), "image_too_large"),
        (png_header(0, 8), "image_unreadable"),
        (png_header(0, 0), "image_unreadable"),
    ],
    ids=range(29),
)
@pytest.mark.parametrize("resize", [None, "crop"])
def test_unusable_image_is_rejected_by_name_if_none_may_be_left_out(
    content: bytes, code: str, resize: str | None, tmp_path: Path, reject: Reject
) -> None:
    error = reject(write_zip(tmp_path / "a.zip", with_other_images(content)), resize=resize)
    assert error.code == code
    assert [(fault.pointer, fault.code) for fault in error.field_errors] == [
        ("/file/cats/x.png", code)
    ]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF"])
def test_first_frame_of_an_animation_is_read(kind: str, tmp_path: Path, read: Read) -> None:
    frames = [Image.fromarray(random_pixels(i)) for i in range(3)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encode_image(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    result = read(write_zip(tmp_path / "a.zip", with_other_images(content)))
    np.testing.assert_array_equal(result.x[0], random_pixels(0))
    assert "1 images were read by their first frame or page only." in result.summary.notes


def test_mpo_photograph_is_read_as_one_image(tmp_path: Path, read: Read) -> None:
    # MPO is the format that phones save as .jpg.
    frames = [Image.fromarray(gradient_image()), Image.fromarray(255 - gradient_image())]
    content = encode_image(frames[0], "MPO", save_all=True, append_images=frames[1:])
    _, x, _ = read(
        write_zip(tmp_path / "a.zip", with_other_images(content, "x.jpg", height=16, width=16))
    )
    assert np.abs(x[0].astype(int) - gradient_image()).mean() < 3


def test_image_of_the_maximum_size_is_read(tmp_path: Path, read: Read) -> None:
    files = with_other_images(encode_image(Image.new("L", (8_192, 8))), height=8, width=8_192)
    limits = Limits(image_size_max=8_192)
    assert read(write_zip(tmp_path / "a.zip", files), limits=limits).summary.width == 8_192


def test_at_most_twenty_unreadable_images_are_listed(tmp_path: Path, reject: Reject) -> None:
    files = {f"cats/{i}.png": b"broken" for i in range(50)} | png_folders("dogs")
    error = reject(write_zip(tmp_path / "a.zip", files))
    assert error.code == "image_unreadable"
    assert len(error.field_errors) == 20


def test_errors_of_different_kinds_are_reported_together(tmp_path: Path, reject: Reject) -> None:
    files = {
        "cats/a.png": encode_image(random_pixels(), "ICO"),
        "cats/b.png": random_png(1, 4, 4),
    } | png_folders("dogs")
    error = reject(write_zip(tmp_path / "a.zip", files))
    assert [fault.code for fault in error.field_errors] == ["image_format", "image_too_small"]


def test_unusable_images_are_left_out_and_named_up_to_a_share(
    tmp_path: Path, read: Read, reject: Reject
) -> None:
    files = png_folders("cats", "dogs", each=100)
    files["cats/7.png"] = files["cats/7.png"][:60]
    files["dogs/0.png"] = encode_image(random_pixels(), "ICO")
    result = read(write_zip(tmp_path / "a.zip", files), max_bad_share=0.01)
    issue = result.issue("unreadable_image")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (2, ["cats/7.png", "dogs/0.png"])
    assert [label.count for label in result.summary.labels] == [99, 99]
    assert result.names == ["cats"] * 99 + ["dogs"] * 99
    np.testing.assert_array_equal(result.x[7], random_pixels(8))
    np.testing.assert_array_equal(result.x[99], random_pixels(1001))
    files["dogs/1.png"] = b"text"
    error = reject(write_zip(tmp_path / "a.zip", files), max_bad_share=0.01)
    assert error.code == "image_unreadable"
    assert len(error.field_errors) == 3
    assert read(write_zip(tmp_path / "a.zip", files)).summary.n_train == 197  # the default share


def test_one_unusable_image_of_a_small_set_is_left_out(tmp_path: Path, read: Read) -> None:
    files = with_other_images(b"broken") | png_folders("birds")
    assert read(write_zip(tmp_path / "a.zip", files)).summary.n_train == 20


def test_label_whose_only_image_is_damaged_is_removed(tmp_path: Path, read: Read) -> None:
    files = {"ants/1.png": b"text"} | png_folders("cats", "dogs", each=60)
    result = read(write_zip(tmp_path / "a.zip", files))
    assert [label.name for label in result.summary.labels] == ["cats", "dogs"]
    assert result.names[0] == "cats"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (16, 16), 1), 255),
        (Image.new("L", (16, 16), 99), 99),
        (Image.new("I;16", (16, 16), 65_535), 255),
        (Image.new("LA", (16, 16), (100, 0)), 255),
        (Image.new("LA", (16, 16), (100, 255)), 100),
        (Image.new("RGB", (16, 16), (9, 9, 9)), 9),
        (Image.new("RGB", (16, 16), (10, 20, 30)), (10, 20, 30)),
        (Image.new("RGBA", (16, 16), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("RGBA", (16, 16), (10, 20, 30, 0)), 255),
        (Image.new("RGBA", (16, 16), (0, 100, 200, 51)), (204, 224, 244)),
    ],
)
def test_every_color_mode_becomes_grayscale_or_rgb(
    image: Image.Image, expected: int | tuple[int, ...], tmp_path: Path, read: Read
) -> None:
    summary, x, _ = read(
        write_zip(tmp_path / "a.zip", with_other_images(encode_image(image), height=16, width=16))
    )
    assert summary.channels == (3 if isinstance(expected, tuple) else 1)
    np.testing.assert_array_equal(x[0], np.broadcast_to(np.array(expected), x.shape[1:]))


def test_palettes_and_transparent_colors_are_resolved(tmp_path: Path, read: Read) -> None:
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30, 7, 7, 7])
    clear = Image.new("RGB", (8, 8), (1, 2, 3))
    files = {
        "a/0.png": encode_image(palette),
        "a/1.png": encode_image(palette, transparency=1),
        "a/2.png": encode_image(clear, transparency=(1, 2, 3)),
        "a/3.png": encode_image(Image.new("L", (8, 8), 5), transparency=5),
    } | png_folders("b")
    _, x, _ = read(write_zip(tmp_path / "a.zip", files))
    assert x[:4, 0, 0].tolist() == [[10, 20, 30], [255] * 3, [255] * 3, [255] * 3]


def test_gray_palette_is_read_as_grayscale(tmp_path: Path, read: Read) -> None:
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 20, 20, 20])
    summary, x, _ = read(write_zip(tmp_path / "a.zip", with_other_images(encode_image(palette))))
    assert summary.channels == 1
    assert x[0, 0, 0] == 20


@pytest.mark.parametrize("adobe", [False, True])
def test_cmyk_becomes_rgb(adobe: bool, tmp_path: Path, read: Read) -> None:
    # Adobe writes inverted CMYK with a marker; files without the marker are inverted too.
    ink = Image.merge("CMYK", [Image.new("L", (16, 16), value) for value in (255, 0, 0, 0)])
    content = encode_image(ink, "JPEG", quality=95)
    marker = content.index(b"Adobe") - 4
    if not adobe:
        content = content[:marker] + content[marker + 16 :]
    _, x, _ = read(
        write_zip(tmp_path / "a.zip", with_other_images(content, "x.jpg", height=16, width=16))
    )
    assert np.abs(x[0, 8, 8].astype(int) - (0, 255, 255)).max() < 10


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(
    orientation: int, kind: str, tmp_path: Path, read: Read
) -> None:
    upright = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).T,
        8: np.rot90,
    }[orientation]
    files = with_other_images(encode_with_orientation(orientation, kind), height=16, width=16)
    _, x, _ = read(write_zip(tmp_path / "a.zip", files))
    assert np.abs(x[0].astype(int) - upright(gradient_image())).mean() < 4


def test_exif_orientation_is_applied_before_sizes_are_compared(tmp_path: Path, read: Read) -> None:
    exif = Image.Exif()
    exif[274] = 6
    sideways = encode_image(gradient_image(8, 16), "PNG", exif=exif)
    files = {"cats/x.png": sideways} | png_folders("dogs", height=16, width=8)
    summary, *_ = read(write_zip(tmp_path / "a.zip", files))
    assert (summary.height, summary.width) == (16, 8)
    files = {f"cats/{i}.png": sideways for i in range(10)}
    summary, *_ = read(write_zip(tmp_path / "a.zip", files), resize="crop")
    assert (summary.height, summary.width) == (16, 8)


def test_metadata_is_removed_and_damaged_metadata_is_ignored(tmp_path: Path, read: Read) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010E] = "SECRET-SERIAL"
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "SECRET-COMMENT", zip=True)
    files = {
        "a/0.png": encode_image(
            random_pixels(1), "PNG", exif=exif, pnginfo=info, icc_profile=b"SECRET" * 9
        ),
        "a/1.png": encode_image(random_pixels(2), "PNG", exif=b"Exif\0\0 no such thing"),
        "a/2.jpg": encode_image(random_pixels(3), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    } | png_folders("b")
    read(write_zip(tmp_path / "a.zip", files))
    for path in (tmp_path / "out").iterdir():
        assert b"SECRET" not in path.read_bytes()


def test_png_with_an_oversized_text_chunk_is_rejected(tmp_path: Path, reject: Reject) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 50_000_000, zip=True)
    content = encode_image(random_pixels(), pnginfo=info)
    assert len(content) < 100_000
    assert (
        reject(write_zip(tmp_path / "a.zip", with_other_images(content))).code == "image_unreadable"
    )


def test_image_with_a_wrong_extension_is_read_by_its_content_and_reported(
    tmp_path: Path, read: Read
) -> None:
    files = with_other_images(encode_image(random_pixels(), "WEBP", lossless=True), "x.jpg")
    summary, *_ = read(write_zip(tmp_path / "a.zip", files))
    assert any("1 images were read by their content" in note for note in summary.notes)


def test_color_conversions_are_reported(tmp_path: Path, read: Read) -> None:
    files = {
        "a/0.png": encode_image(Image.new("I;16", (8, 8), 500)),
        "a/1.png": encode_image(Image.new("RGBA", (8, 8))),
        "a/2.jpg": encode_image(Image.new("CMYK", (8, 8)), "JPEG"),
    } | png_folders("b")
    notes = " ".join(read(write_zip(tmp_path / "a.zip", files)).summary.notes)
    assert "CMYK" in notes
    assert "scaled to 8 bits" in notes
    assert "white" in notes


def test_dataset_is_grayscale_until_its_first_color_image(tmp_path: Path, read: Read) -> None:
    gray = {f"train/a/{i}.png": random_png(i) for i in range(10)}
    test_split = {f"test/a/{i}.png": random_png(50 + i) for i in range(3)}
    color = {"train/a/z.png": random_png(99, channels=3), "test/a/z.png": random_png(98)}
    summary, x, _ = read(write_zip(tmp_path / "a.zip", gray | test_split))
    assert (summary.channels, x.shape) == (1, (13, 8, 8))
    summary, x, _ = read(write_zip(tmp_path / "a.zip", gray | test_split | color))
    assert (summary.channels, x.shape) == (3, (15, 8, 8, 3))
    for i in range(10):
        np.testing.assert_array_equal(x[i], np.repeat(random_pixels(i)[..., None], 3, -1))
    np.testing.assert_array_equal(x[10], random_pixels(99, channels=3))
    np.testing.assert_array_equal(x[11], np.repeat(random_pixels(50)[..., None], 3, -1))
    np.testing.assert_array_equal(x[14], np.repeat(random_pixels(98)[..., None], 3, -1))


def test_rgb_images_with_equal_channels_are_read_as_grayscale(tmp_path: Path, read: Read) -> None:
    files = {
        f"a/{i}.png": encode_image(Image.fromarray(random_pixels(i)).convert("RGB"))
        for i in range(12)
    }
    summary, x, _ = read(write_zip(tmp_path / "a.zip", files))
    assert summary.channels == 1
    np.testing.assert_array_equal(x[3], random_pixels(3))


def test_reading_the_same_upload_twice_is_deterministic(tmp_path: Path, read: Read) -> None:
    source = write_zip(tmp_path / "a.zip", png_folders("cats", "dogs"))
    first = read(source).summary
    assert read(source).summary == first
    assert len(first.x_sha256) == len(first.y_sha256) == 64


def test_png_without_image_data_is_rejected(tmp_path: Path, reject: Reject) -> None:
    out = io.BytesIO(random_png(3))
    content = out.getvalue().replace(b"IDAT", b"IDAX")
    assert (
        reject(write_zip(tmp_path / "a.zip", with_other_images(content))).code == "image_unreadable"
    )
