"""Near relations: numbers that are simpler given other numbers of the row."""
