"""How strongly the critic's gradients are held down (R1 and R2) over a run."""

from models.images.settings import ImageSettings


def r1_gamma(settings: ImageSettings, progress: float) -> float:
    """Geometric from start to end: strong smoothing early, sharp detail late."""
    start, end = settings.r1_gamma_start, settings.r1_gamma_end
    return start if start == end or start == 0 else start * (max(end, 1e-9) / start) ** progress
