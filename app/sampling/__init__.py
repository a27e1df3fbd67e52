"""The sampler: from a request to items, batch by batch, and from items to bytes.

`sampler` is the only module of the API that imports torch; the others are imported at start.
"""
