"""What a model's critic thinks of rows."""

import numpy as np
import pyarrow as pa
import torch

from models.tabular.categorical_columns import Floats
from models.tabular.sampling import TableSampler


@torch.inference_mode()
def realness(sampler: TableSampler, rows: pa.RecordBatch) -> Floats:
    """(N,) chances that the critic gives a row of being real rather than generated, where half of
    all rows are: it was trained by logistic loss on as many of both, whose score is the logarithm
    of these odds. The model has a critic."""
    critic = sampler.critic
    assert critic is not None  # noqa: S101 - said above
    tokens = sampler.tokenizer.encode(pa.Table.from_batches([rows]), seed=0)
    scores = []
    for first in range(0, tokens.shape[1], sampler.batch_size):
        part = tokens[:, first : first + sampler.batch_size]
        filled = np.zeros((len(tokens), sampler.batch_size), np.int64)
        filled[:, : part.shape[1]] = part
        scores.append(critic(torch.from_numpy(filled))[: part.shape[1]])
    return torch.cat(scores).double().sigmoid().numpy()
