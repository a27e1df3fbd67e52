"""Names of things, such as titles, products and places."""
