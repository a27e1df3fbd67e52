"""File types, detected by their first bytes. Names and extensions are ignored."""

import re

HEAD_BYTES = 512  # the longest signature is a tar header

COMPRESSED_TYPES = frozenset({"gz", "bz2", "xz"})
ARCHIVE_SUFFIXES = (".zip", ".npz", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
IMAGE_TYPES = frozenset({"png", "jpeg", "webp", "gif", "bmp", "tiff", "pnm", "tga"})

_SUPPORTED = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # an archive without entries
    (b"PK\x07\x08", "zip"),  # the first part of a split archive
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),  # Excel 97 and other old Office files
    (b"\x93NUMPY", "npy"),
)
_UNSUPPORTED = (
    (b"MATLAB 5.0 MAT-file", "MATLAB file"),
    (b"8BPS", "PSD image"),
    (b"II+\x00", "BigTIFF image"),
    (b"MM\x00+", "BigTIFF image"),
    (b"%!PS", "EPS image"),
    (b"\xc5\xd0\xd3\xc6", "EPS image"),
    (b"DDS ", "DDS image"),
    (b"\x00\x00\x01\x00", "ICO image"),
    (b"icns", "ICNS image"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000 image"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL image"),
    (b"\xff\x0a", "JPEG XL image"),
    (b"<svg", "SVG image"),
    (b"Rar!", "rar archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"%PDF", "PDF document"),
    (b"PAR1", "Parquet table"),
    (b"\x89HDF", "HDF5 file"),
)
_IDX_TYPES = frozenset({0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E})
# Short signatures, which text can start with too: more of the header must fit.
_BMP = re.compile(rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", re.DOTALL)
_PNM = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*[0-9]+\s+(#[^\n]*\n\s*)*[0-9]+\s")
# TGA has no signature: the type, the color map, the size and the bits per pixel must fit.
_TGA = re.compile(
    rb".(\0[\x02\x03\x0a\x0b]\0{5}|\x01[\x01\x09]..[\0-\xff][\0\x01][\x0f\x10\x18\x20])"
    rb".{4}(?!\0\0)..(?!\0\0)..[\x08\x0f\x10\x18\x20][\0-\x3f]",
    re.DOTALL,
)


def detect_file_type(head: bytes) -> str:
    """Return the type of a supported file ("png", "zip", "tar", "idx"…), "" for any other."""
    for signature, file_type in _SUPPORTED:
        if head.startswith(signature):
            return file_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"\0\0" and len(head) > 3 and head[2] in _IDX_TYPES and 1 <= head[3] <= 8:
        return "idx"
    if _BMP.match(head):
        return "bmp"
    if _PNM.match(head):
        return "pnm"
    if is_tar(head):
        return "tar"
    return "tga" if _TGA.match(head) else ""


def unsupported_file_type(head: bytes) -> str | None:
    """Return the name of a common but unsupported format, such as "PSD image"."""
    if head[4:8] == b"ftyp":
        return "AVIF image" if head[8:11] == b"avi" else "HEIF image or video"
    return next(
        (file_type for signature, file_type in _UNSUPPORTED if head.startswith(signature)), None
    )


def is_tar(head: bytes) -> bool:
    """Return True for a tar header with a valid checksum, or the zero block of an empty tar."""
    if len(head) < HEAD_BYTES:
        return False
    if not any(head):
        return True
    checksum = head[148:156].strip(b" \0")
    try:
        # The checksum is computed with its own eight bytes taken as spaces (POSIX ustar).
        return int(checksum, 8) == sum(head[:148]) + sum(head[156:HEAD_BYTES]) + 8 * ord(" ")
    except ValueError:
        return False
