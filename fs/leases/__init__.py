"""Who decides what between nodes: leases, by the rules of docs/design/0012-leases.md."""
