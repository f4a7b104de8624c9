"""What mounts want to have kept in the cache here: remembered, fetched, and never evicted."""
