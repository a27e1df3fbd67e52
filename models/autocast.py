"""Matrix products in bfloat16 on CPUs that have instructions for them (AVX-512 BF16)."""

import torch

HAS_BF16 = torch.cpu._is_avx512_bf16_supported()


def bf16_autocast() -> torch.autocast:
    """Create a context in which matrix products run in bfloat16.

    Weights, sums and losses stay in float32. The context has no effect on other CPUs.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=HAS_BF16)
