"""Products of matrices in bfloat16, where the processor has instructions for them."""

import torch

HAS_BF16 = torch.cpu._is_avx512_bf16_supported()


def bf16_autocast() -> torch.autocast:
    """Weights, sums and losses stay in float32; a no-op on other processors."""
    return torch.autocast("cpu", torch.bfloat16, enabled=HAS_BF16)
