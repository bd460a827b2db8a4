# One image with Admit, one with the Toss simulator for demonstrations:
#   docker build --target admit -t admit .
#   docker build --target toss-simulator -t toss-simulator .

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The caches keep crates and compiled dependencies between builds; what is wanted is copied out of them.
# Line tables are for profiling on a developer's machine; here they are left out, for a small image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    CARGO_PROFILE_RELEASE_STRIP=symbols cargo build --release --locked --workspace --bin admit --bin toss-simulator \
    && mkdir /out && cp target/release/admit target/release/toss-simulator /out/

FROM debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /var/lib/admit --shell /usr/sbin/nologin admit \
    && install -d -o admit -g admit -m 700 /var/lib/admit
# answers http://127.0.0.1:PORT/PATH with 200? Small enough not to need curl in the image.
COPY --chmod=755 <<'SCRIPT' /usr/local/bin/is-ready
#!/bin/bash
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r -t 3 _ status _ <&3
[ "$status" = 200 ]
SCRIPT
USER 10001:10001
WORKDIR /var/lib/admit
STOPSIGNAL SIGTERM

FROM base AS toss-simulator
COPY --from=build /out/toss-simulator /usr/local/bin/toss-simulator
EXPOSE 8090
ENTRYPOINT ["/usr/local/bin/toss-simulator"]
CMD ["--listen", "0.0.0.0:8090"]

# Last, so that "docker build ." makes Admit.
FROM base AS admit
COPY --from=build /out/admit /usr/local/bin/admit
EXPOSE 8081 9090
ENTRYPOINT ["/usr/local/bin/admit"]
CMD ["serve"]
