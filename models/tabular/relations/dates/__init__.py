"""Relations of dates: parts of the calendar, distances, and dates over several columns."""
