"""What samples are sent and stored as, by the word that `format` takes."""

MEDIA_TYPES = {
    "png": "image/png",
    "zip": "application/zip",
    "npz": "application/x-npz",
    "tar": "application/x-tar",
    "json": "application/json",
}
STRIP = {"png": "image/png", "gif": "image/gif"}  # images in a row, or one after the other
ROW_MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
# Those that a file of any size can have.
STORED = {"images": ("tar", "zip", "npz"), "rows": ("parquet", "csv", "ndjson", "arrow")}
