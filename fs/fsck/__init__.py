"""Looks whether everything of a project is there and right, from the bucket up. It changes nothing."""
