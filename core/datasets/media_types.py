"""What samples are sent and stored as, by the word that `format` takes."""

IMAGE_MEDIA_TYPES = {
    "png": "image/png",
    "zip": "application/zip",
    "npz": "application/x-npz",
    "tar": "application/x-tar",
    "json": "application/json",
}
STRIP_MEDIA_TYPES = {
    "png": "image/png",
    "gif": "image/gif",
}  # images in a row, or one after the other
TABULAR_MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
# Those that a file of any size can have.
STREAMABLE_FORMATS = {
    "image": ("tar", "zip", "npz"),
    "tabular": ("parquet", "csv", "ndjson", "arrow"),
}
