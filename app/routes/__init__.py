"""One module for each resource. A route parses, opens one transaction, and answers."""
