"""What the processes agree on: settings, tables, the life of a job, datasets, storage, errors."""
