"""Logs in the bucket: slots that can be written once, and the journal of each project in them."""
