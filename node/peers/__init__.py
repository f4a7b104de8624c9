"""Serving blocks to the office and fetching them from it."""
