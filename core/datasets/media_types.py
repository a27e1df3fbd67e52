"""Media types of samples and exports, by the value of `format`."""

IMAGE_MEDIA_TYPES = {
    "png": "image/png",
    "zip": "application/zip",
    "npz": "application/x-npz",
    "tar": "application/x-tar",
    "json": "application/json",
}
# A strip is several images in one file: side by side in a PNG, or as the frames of a GIF.
STRIP_MEDIA_TYPES = {"png": "image/png", "gif": "image/gif"}
TABULAR_MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
# Formats without a size limit, because they are written and sent in pieces.
STREAMABLE_FORMATS = {
    "image": ("tar", "zip", "npz"),
    "tabular": ("parquet", "csv", "ndjson", "arrow"),
}
