"""What a model's critic thinks of rows."""

import numpy as np
import pyarrow as pa
import torch

from models.tables.columns import Floats
from models.tables.sampling import RowSampler


@torch.inference_mode()
def realness(sampler: RowSampler, rows: pa.RecordBatch) -> Floats:
    """(N,) chances that the critic gives a row of being real rather than generated, where half of
    all rows are: it was trained by logistic loss on as many of both, whose score is the logarithm
    of these odds. The model has a critic."""
    critic = sampler.critic
    assert critic is not None  # noqa: S101 - said above
    tokens = sampler.encoding.encode(pa.Table.from_batches([rows]), seed=0)
    scores = []
    for first in range(0, tokens.shape[1], sampler.batch):
        part = tokens[:, first : first + sampler.batch]
        filled = np.zeros((len(tokens), sampler.batch), np.int64)
        filled[:, : part.shape[1]] = part
        scores.append(critic(torch.from_numpy(filled))[: part.shape[1]])
    return torch.cat(scores).double().sigmoid().numpy()
