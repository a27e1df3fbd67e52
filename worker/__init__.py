"""Worker process: claims jobs by lease, runs them and reports their results."""
