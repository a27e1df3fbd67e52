"""Request and response bodies of the HTTP API. Requests with unknown fields are rejected."""
