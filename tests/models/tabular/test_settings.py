"""Table settings that are derived from the data."""

import pytest

from models.settings import DeviceKind
from models.tabular.budget import budget, cost
from models.tabular.settings import PRESETS, InvalidSettings, TableData, TableSettings, resolve


@pytest.mark.parametrize("device", PRESETS)
@pytest.mark.parametrize("preset", PRESETS["cpu"])
@pytest.mark.parametrize("rows", [1, 5, 1_000, 10_000_000])
def test_every_table_has_settings_a_budget_and_a_cost(
    rows: int, preset: str, device: DeviceKind
) -> None:
    data = TableData(rows, 10, device=device)
    settings = resolve(data, preset, {})
    assert TableSettings.from_dict(settings.to_dict()) == settings
    (amount,) = budget(data, settings, preset).values()
    assert amount >= 1
    assert cost(settings, data).gflop_per_step > 0


@pytest.mark.parametrize(
    ("columns", "rows", "preset", "measured"),
    [
        (4, 500, "fast", 0.39),
        (15, 6_000, "fast", 0.63),
        (40, 6_000, "fast", 1.41),
        (15, 6_000, "quality", 1.57),
        (40, 6_000, "balanced", 2.08),
    ],
)
def test_the_cost_of_a_step_is_close_to_the_measured_one(
    columns: int, rows: int, preset: str, measured: float
) -> None:
    """Measured in GFLOP of a matrix product of the same duration, on one core."""
    data = TableData(rows, columns)
    estimated = cost(resolve(data, preset, {}), data).gflop_per_step
    assert 0.8 < estimated / measured < 1.25


@pytest.mark.parametrize(
    ("preset", "seconds"), [("fast", 60), ("balanced", 600), ("quality", 3600)]
)
def test_a_gpu_trains_wider_networks_for_a_fixed_time(preset: str, seconds: int) -> None:
    on_cpu, on_gpu = TableData(50_000, 10), TableData(50_000, 10, device="gpu")
    narrow, wide = (resolve(data, preset, {}) for data in (on_cpu, on_gpu))
    assert wide.hidden_dim > narrow.hidden_dim
    assert wide.batch_size > narrow.batch_size
    assert budget(on_gpu, wide, preset) == {"gpu_seconds": seconds}
    assert "steps" in budget(on_gpu, wide, preset, differential_privacy=True)


def test_small_categorical_tables_get_dropout() -> None:
    small_categorical, small_mixed, large_categorical = (
        TableData(6_000, 9, 9),
        TableData(6_000, 9, 8),
        TableData(60_000, 9, 9),
    )
    dropout = [
        resolve(data, "fast", {}).dropout
        for data in (small_categorical, small_mixed, large_categorical)
    ]
    assert dropout[0] > dropout[1] == dropout[2] == 0.0


def test_explicit_settings_override_the_defaults() -> None:
    assert resolve(TableData(100, 3), "fast", {"embedding_dim": 12}).embedding_dim == 12


@pytest.mark.parametrize(("name", "value"), [("embedding_dim", 0), ("dropout", 1.0), ("depth", 3)])
def test_an_invalid_value_is_rejected_by_name(name: str, value: float) -> None:
    with pytest.raises(InvalidSettings) as error:
        resolve(TableData(100, 3), "fast", {name: value})
    assert error.value.field == name
