"""Pages of HTML: reports, comparisons and model cards, with their charts."""
