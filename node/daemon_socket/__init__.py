"""The daemon's Unix socket as it is served: what `node/client/daemon_socket` asks is answered here, a room for each topic."""
