"""Snapshots: states of a project that have a name, and are kept as long as they have it."""
