"""HTTP routes: one module for each resource.

A route parses the request, opens one transaction, and responds.
"""
