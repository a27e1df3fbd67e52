"""The architecture `autoregressive`: rows token by token."""
