"""Names of people, and e-mail addresses made from them."""
