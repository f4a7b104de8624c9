"""Blocks on their way: where one comes from, how it gets into the bucket, what mounts ask for."""
