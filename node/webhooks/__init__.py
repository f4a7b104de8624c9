"""Tells receivers on the network what happens in projects that are mounted here."""
