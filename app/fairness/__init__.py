"""Turns and shares of tenants, so that one leaves the service to others."""
