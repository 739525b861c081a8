FROM golang:1.26 AS build
ARG VERSION=
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/gatehouse ./cmd/gatehouse && \
    install -d -m 0700 /out/data

# There is no shell and no other program in the image.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/gatehouse /usr/local/bin/gatehouse
COPY --from=build --chown=65532:65532 /out/data /data
# Whoever reaches the container can reach the server, so it lets in none but the
# keys that `gatehouse client create` has made, and wants to be given a certificate
# (AUTH_TLS_CERT_FILE, AUTH_TLS_KEY_FILE), or AUTH_TLS_TERMINATED_UPSTREAM=true where a
# proxy speaks TLS.
ENV PATH=/usr/local/bin \
    AUTH_SERVER_HOST=0.0.0.0 \
    AUTH_SQLITE_PATH=/data/gatehouse.sqlite3
WORKDIR /data
VOLUME /data
USER 65532:65532
EXPOSE 8000
# A server whose database is away is alive: to start it anew would help nobody.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["gatehouse", "health", "--live"]
ENTRYPOINT ["gatehouse"]
CMD ["serve"]
