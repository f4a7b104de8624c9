"""Where the kernel is: requests in, what it must forget, and what it says is mounted."""
