"""The critic that was trained with a generator: how real rows look, and which it rejects."""

from dataclasses import dataclass

import numpy as np
import torch

from models.placement import upload
from models.tabular.autoregressive.networks import Critic
from models.tabular.categorical_columns import Floats, Tokens


@dataclass(frozen=True)
class RowCritic:
    """A critic network, and the score from which samples are always accepted.

    Scores are the log-odds of real against generated rows. Rows are scored in batches of one size,
    so that the score of a row does not depend on the others.
    """

    network: Critic
    always_accept_score: float
    batch_size: int
    device: torch.device

    @torch.inference_mode()
    def scores(self, tokens: Tokens) -> Floats:
        """Return the (N,) scores of (S, N) tokens."""
        num_steps, num_rows = tokens.shape
        padded = np.zeros((num_steps, -(-num_rows // self.batch_size) * self.batch_size), np.int64)
        padded[:, :num_rows] = tokens
        batches = upload(torch.from_numpy(padded), self.device).split(self.batch_size, dim=1)
        scores = torch.cat([self.network(batch) for batch in batches])
        return scores[:num_rows].double().cpu().numpy()

    def acceptance_prob(self, tokens: Tokens) -> Floats:
        """Return the (N,) acceptance probabilities of discriminator rejection sampling.

        They are min(1, exp(score - always_accept_score)). Source: Azadi et al. 2019, 1810.06758.
        """
        return np.exp(np.minimum(self.scores(tokens) - self.always_accept_score, 0.0))

    def realness(self, tokens: Tokens) -> Floats:
        """Return the (N,) probabilities of being real, assuming that half of all rows are.

        The critic was trained with the logistic loss on as many real as generated rows, so the
        sigmoid of its score is this probability.
        """
        return np.exp(-np.logaddexp(0.0, -self.scores(tokens)))
