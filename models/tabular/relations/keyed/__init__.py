"""Numbers that each key has, such as the price of a product or the decimals of a currency."""
