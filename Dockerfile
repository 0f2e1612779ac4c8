# The engine alone. Plugins are files that it is given at run time: mount them at /plugins.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libssl-dev zlib1g-dev pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin engine && cp target/release/engine /engine

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 zlib1g ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 engine && install -d -o engine -g engine /data
COPY --from=build /engine /usr/local/bin/engine
USER engine
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["engine"]
