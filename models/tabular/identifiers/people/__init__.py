"""Names of people, and e-mail addresses built from them."""
