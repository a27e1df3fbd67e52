"""Search for equations between numbers: sums, products, ratios and linear functions."""
