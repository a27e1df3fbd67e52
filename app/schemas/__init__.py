"""What crosses HTTP: requests that are refused unless every field is known, and answers."""
