"""Places of samples fit the country or state of their row."""

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.identifiers.places.place_ends import PlaceEnds
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors

COUNTRIES = {
    "Francia": ["France"],
    "Alemania": ["Germany", "East Germany"],
    "Estados Unidos": ["Texas", "Ohio", "Utah"],
}
COUNT = 400


def make_crashes(first: str = "Town {}") -> pa.Table:
    rng = np.random.default_rng(3)
    countries = [list(COUNTRIES)[i] for i in rng.integers(0, 3, COUNT)]
    ends = [COUNTRIES[country][i % len(COUNTRIES[country])] for i, country in enumerate(countries)]
    places = [f"{first.format(i)}, {end}" for i, end in enumerate(ends)]
    places[::40] = [f"Over the sea {i}" for i in range(len(places[::40]))]
    places[7] = "Lille, Peru"
    causes = rng.choice(["weather", "error"], COUNT).tolist()
    return pa.table({"cause": causes, "country": countries, "place": places})


def test_places_end_as_those_of_the_country_of_their_row() -> None:
    schema = (
        ColumnSchema("cause", "category"),
        ColumnSchema("country", "category"),
        ColumnSchema("place", "id"),
    )
    table = make_crashes()
    fitted = Tokenizer.fit(table, schema, target_column=None, seed=1)
    tokenizer = from_tensors(*to_tensors(fitted))
    u = np.random.default_rng(1).random((tokenizer.num_decode_uniforms, COUNT))
    ids = {each.name: each.values(7, np.arange(COUNT)) for each in tokenizer.id_columns}
    rows = tokenizer.decode(tokenizer.encode(table, 1), u, ids).to_pylist()
    ends = {
        (row["country"], row["place"].rpartition(", ")[2]) for row in rows if "," in row["place"]
    }
    assert ends == {(country, end) for country, ends in COUNTRIES.items() for end in ends}


@pytest.mark.parametrize(
    ("texts", "regions"),
    [
        (make_crashes()["place"], {"cause": make_crashes()["cause"]}),  # no relation
        (pa.array([f"Town {i}" for i in range(COUNT)]), {"country": make_crashes()["country"]}),
        (make_crashes()["place"], {"row": pa.array([str(i) for i in range(COUNT)])}),
    ],
)
def test_other_texts_and_columns_have_no_rule(
    texts: pa.ChunkedArray, regions: dict[str, pa.ChunkedArray]
) -> None:
    assert PlaceEnds.fit(texts, regions) is None
