"""Images as arrays, and as rows of pixels."""
