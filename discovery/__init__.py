"""Who is on the LAN, and who owns which key. Knows nothing of blocks, files, HTTP or buckets."""
