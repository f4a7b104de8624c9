# A Lucidnode workstation in a container. docker-compose.lan.yml makes a LAN of them.
FROM debian:12-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libfuse3-dev pkg-config python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md ./
COPY lucidnode lucidnode
COPY node node
COPY discovery discovery
COPY fs fs
RUN python3 -m venv /opt/lucidnode && /opt/lucidnode/bin/pip install --no-cache-dir . \
    && /opt/lucidnode/bin/pip uninstall -y setuptools pip

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates fuse3 python3 \
    && rm -rf /var/lib/apt/lists/*
# Mounts are an ordinary user's: fusermount3 is what may mount.
RUN useradd --create-home --uid 1000 lucidnode \
    && install -d -o lucidnode -g lucidnode -m 0700 /var/lib/lucidnode /tickets \
    && install -d -o lucidnode -g lucidnode /mnt/demo
COPY --from=build /opt/lucidnode /opt/lucidnode
COPY scripts/node-entry /usr/local/bin/node-entry
ENV PATH=/opt/lucidnode/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LUCIDNODE_HOME=/var/lib/lucidnode \
    LUCIDNODE_TICKETS=/tickets \
    LUCIDNODE_PROJECT=demo \
    LUCIDNODE_MOUNT=/mnt/demo
USER lucidnode
ENTRYPOINT ["node-entry"]
CMD ["run"]
