"""The HTTP side: takes datasets and jobs, answers with samples."""
