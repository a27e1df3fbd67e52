"""Conditional generative models of table rows.

Tokenizer, settings, networks, training loops and samplers. `schema` and `settings` do not import
torch.
"""
