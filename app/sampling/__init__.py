"""Sampling: parse a request, generate the samples in batches, and stream them in bounded memory.

`service` imports torch, so routes import it and the modules that use it only when a request needs
them.
"""
