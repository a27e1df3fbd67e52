"""Where the table is in a file: titles, headers, totals, other tables."""
