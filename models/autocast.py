"""Matrix products in bfloat16, on GPUs and on CPUs with instructions for it (AVX-512 BF16)."""

import torch

HAS_BF16 = torch.cpu._is_avx512_bf16_supported()


def bf16_autocast(device: torch.device) -> torch.autocast:
    """Create a context in which matrix products run in bfloat16.

    Weights, sums and losses stay in float32. The context has no effect on other CPUs. All GPUs that
    current builds of torch support compute in bfloat16.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=HAS_BF16 or device.type == "cuda")
