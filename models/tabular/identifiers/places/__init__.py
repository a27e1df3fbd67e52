"""Streets, postal codes and cities with their regions."""
