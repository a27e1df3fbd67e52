"""A generator against a critic and nothing else: the networks of the textbooks, and one's own."""
