"""Datasets: from uploaded files to rows and objects that jobs can use."""
