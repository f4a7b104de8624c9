"""What this node says of itself: counters, and one snapshot for dashboard and commands."""
