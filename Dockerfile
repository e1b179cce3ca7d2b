# The container image, built from source:
#
#   docker build --tag aqueduct .
#   docker run --publish 127.0.0.1:8008:8008 --volume aqueduct:/var/lib/aqueduct \
#       --env AQUEDUCT_SERVER_NAME=example.org aqueduct
#
# packaging/README.md explains the settings. `make image` builds the same image from a binary that
# was built on this machine.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
ENV CARGO_TARGET_DIR=/target
RUN make release DIST=/dist && packaging/build-rootfs /dist/aqueduct /rootfs

FROM scratch
COPY --from=build /rootfs/ /
COPY --from=build --chown=991:991 /rootfs/var/lib/aqueduct /var/lib/aqueduct
ENV AQUEDUCT_LISTEN=0.0.0.0:8008 \
    AQUEDUCT_DATABASE__PATH=/var/lib/aqueduct/database \
    AQUEDUCT_LOG__FORMAT=json
USER 991:991
WORKDIR /var/lib/aqueduct
VOLUME /var/lib/aqueduct
EXPOSE 8008
HEALTHCHECK --interval=30s --timeout=5s --start-period=1m CMD ["/usr/bin/aqueduct", "status"]
ENTRYPOINT ["/usr/bin/aqueduct"]
CMD ["serve"]
