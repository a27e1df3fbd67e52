"""Products of matrices in bfloat16, where the processor has instructions for them."""

import torch

HALF = torch.cpu._is_avx512_bf16_supported()


def mixed() -> torch.autocast:
    """Weights, sums and losses stay in float32; a no-op on other processors."""
    return torch.autocast("cpu", torch.bfloat16, enabled=HALF)
