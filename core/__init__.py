"""Code shared by all processes: settings, tables, jobs, datasets, storage and errors."""
