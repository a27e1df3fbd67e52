"""Schedule of the weight of the critic's gradient penalties (R1 and R2)."""

from models.images.settings import ImageSettings


def r1_gamma(settings: ImageSettings, progress: float) -> float:
    """Return gamma, which changes geometrically: strong smoothing early, sharp detail late."""
    start, end = settings.r1_gamma_start, settings.r1_gamma_end
    return start if start == end or start == 0 else start * (max(end, 1e-9) / start) ** progress
