# The sidecar as an image: built on Debian 12, run on a slim Debian 12 as a user without rights.
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN ./dev build release dbsidecar && strip --strip-debug build/release/dbsidecar

FROM debian:12-slim
# The libraries that the binary links, and nothing to build with.
RUN apt-get update -q \
    && apt-get install -q -y --no-install-recommends \
        ca-certificates libcpp-httplib0.11 libgrpc++1.51 libgrpc29 libprotobuf32 libabsl20220623 libpg-query1504.0 \
        libpqxx-6.4 libpq5 libedit2 libsqlite3-0 libspdlog1.10 libfmt9 libyaml-cpp0.7 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/dbsidecar dbsidecar
COPY --from=build /src/build/release/dbsidecar /usr/local/bin/dbsidecar
USER 10001
# Where the default SQLite database lives; mount a volume here to keep it.
WORKDIR /var/lib/dbsidecar
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["dbsidecar", "health", "--service", "readiness"]
# Listens on 127.0.0.1:50051, which the containers of a pod share.
ENTRYPOINT ["dbsidecar", "serve"]
