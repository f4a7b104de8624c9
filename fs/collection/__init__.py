"""What nothing refers to any more is found, stands for a time, and is deleted from the bucket."""
