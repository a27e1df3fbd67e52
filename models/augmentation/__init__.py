"""More items out of real ones: images changed a little, rows between rows; and what that is worth
to a classifier."""
