"""Machine learning: networks, losses, training loops, samplers and checkpoints.

The package takes and returns tensors, arrays and tables. It does not depend on jobs, databases or
HTTP.
"""
