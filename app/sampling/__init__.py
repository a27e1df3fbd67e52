"""The sampler: from a request to items, batch by batch, in memory that is bounded.

It is the only part of the API that imports torch.
"""
