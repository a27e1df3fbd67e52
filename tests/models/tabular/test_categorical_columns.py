"""Messages about values that a categorical column does not have."""

import pyarrow as pa

from models.tabular.categorical_columns import similar_texts


def test_a_category_in_another_case_is_the_most_similar_one() -> None:
    categories = ["AA", "DL", "UA", "WN"]
    message = similar_texts(categories, pa.string(), ["ua"])
    assert message.startswith("; its values are text, such as 'UA', ")
    message = similar_texts(["Cat", "Dog", "Wolfdog"], pa.string(), ["DOG"])
    assert message == "; its values are text, such as 'Dog', 'Wolfdog', 'Cat'"
