"""The architecture `gan`: whole rows at once."""
