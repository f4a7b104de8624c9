"""The daemon's Unix socket as its callers see it: what `node/daemon_socket` answers is asked here, a room for each topic."""
