"""What samples are sent as, by the word that `?format=` takes."""

MEDIA_TYPES = {
    "png": "image/png",
    "zip": "application/zip",
    "npz": "application/x-npz",
    "json": "application/json",
}
ROW_MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
