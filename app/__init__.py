"""The HTTP API: accepts datasets and jobs, returns models and samples."""
