"""Names of people, and e-mail addresses that consist of them."""
