"""The operations of the file system, and what they show beside the tree: handles, states, places."""
