"""The kernel channel: threads of C between the kernel and pyfuse3 (docs/design/0011-channel.md)."""
