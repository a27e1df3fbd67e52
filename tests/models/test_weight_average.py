import torch
from torch import nn

from models.weight_average import WeightAverage


def make_network(value: float) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for weight in network.parameters():
        nn.init.constant_(weight, value)
    return network


def test_first_weights_are_soon_forgotten() -> None:
    network = make_network(0.0)
    average = WeightAverage(network, decay=0.9)
    for weight in network.parameters():
        nn.init.constant_(weight, 1.0)
    average.update(0)
    assert all(torch.allclose(w, torch.tensor(0.9)) for w in average.network.parameters())
    average.update(1_000)  # The decay has reached its final value.
    assert all(torch.allclose(w, torch.tensor(0.91)) for w in average.network.parameters())


def test_average_includes_the_running_moments_of_norms_but_no_counters() -> None:
    network = make_network(0.0)
    average = WeightAverage(network, decay=0.9)
    network(torch.ones(4, 2) * torch.arange(4)[:, None] + 1)
    average.update(0)
    norm, averaged_norm = network[1], average.network[1]
    assert torch.allclose(averaged_norm.running_var, 0.1 * torch.ones(2) + 0.9 * norm.running_var)
    assert (norm.num_batches_tracked, averaged_norm.num_batches_tracked) == (1, 0)


def test_average_follows_weights_that_are_loaded_later() -> None:
    network = make_network(0.0)
    average = WeightAverage(network, decay=0.9)
    network.load_state_dict(make_network(1.0).state_dict())
    average.load_state_dict(make_network(1.0).state_dict())
    average.update(0)
    assert all((weight == 1).all() for weight in average.network.parameters())


def test_updates_of_the_average_record_no_gradients() -> None:
    network = make_network(0.0)
    average = WeightAverage(network, decay=0.9)
    average.update(0)
    assert not any(weight.requires_grad for weight in average.network.parameters())
