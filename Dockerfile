# The build command is the one that CI runs: `make release`.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN make release

# glibc, libgcc, libm and the public certificate roots; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/namespace-migration /namespace-migration
# By number, so that `runAsNonRoot` can be checked without reading the image's user list.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/namespace-migration"]
