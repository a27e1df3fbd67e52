"""Tables: rows of typed columns, labeled by the values of a target column."""
