"""Scoring of rows by the critic that was trained with the model."""

import numpy as np
import pyarrow as pa
import torch

from models.placement import upload
from models.tabular.categorical_columns import Floats
from models.tabular.sampling import TableSampler


@torch.inference_mode()
def realness(sampler: TableSampler, rows: pa.RecordBatch) -> Floats:
    """Return (N,) probabilities of being real, assuming that half of all rows are.

    The critic was trained with the logistic loss on as many real as generated rows, so the sigmoid
    of its score is this probability. The model must have a critic.
    """
    critic = sampler.critic
    assert critic is not None  # noqa: S101 - required of callers
    tokens = sampler.tokenizer.encode(pa.Table.from_batches([rows]), seed=0)
    scores = []
    for start in range(0, tokens.shape[1], sampler.batch_size):
        part = tokens[:, start : start + sampler.batch_size]
        padded = np.zeros((len(tokens), sampler.batch_size), np.int64)
        padded[:, : part.shape[1]] = part
        padded_tokens = upload(torch.from_numpy(padded), sampler.token_sampler.device)
        scores.append(critic(padded_tokens)[: part.shape[1]])
    return torch.cat(scores).double().sigmoid().cpu().numpy()
