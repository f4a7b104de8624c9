"""The directory of a mount in which its project's snapshots are."""
