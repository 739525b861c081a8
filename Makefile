# Every command that the project knows; `make help` lists them.

SQLC    := go tool -modfile=internal/tools/sqlc/go.mod sqlc
OAPI    := go tool -modfile=internal/tools/oapi-codegen/go.mod oapi-codegen
LINT    := go tool -modfile=internal/tools/staticcheck/go.mod staticcheck
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

SHELL       := bash
.SHELLFLAGS := -o pipefail -ec

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## start the server on SQLite
	go run ./cmd/gatehouse serve

.PHONY: build
build: ## build bin/gatehouse, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/gatehouse ./cmd/gatehouse

.PHONY: test
test: ## run all tests
	go test ./...

.PHONY: race
race: ## run all tests under the race detector
	go test -race ./...

.PHONY: integration
integration: ## run the tests that need PostgreSQL, and say which they used
	go test -v -count=1 ./integration/... ./internal/store/sqlstore | grep -vE '^\s*(=== |--- PASS)'

.PHONY: soak
soak: ## have servers live through small faults for SOAK (1h), and see that nothing grows
	GATEHOUSE_SOAK=$(or $(SOAK),1h) go test -v -count=1 -timeout 0 -run '^TestSoak$$' ./integration/faults

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (10s) each
	@for target in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z]+' $$target/*_test.go | cut -c6-); do \
			echo "== $$target $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),10s) -fuzzminimizetime 5x $$target || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## measure throughput, writes, sessions and the audit log on both databases, and other engines, as ratios in one run
	go run ./integration/bench
	cd bench && go run .

.PHONY: generate
generate: ## make gen/ and sdk/api again from openapi.yaml, queries/ and schema/
	$(OAPI) -config internal/tools/oapi-codegen/server.yaml openapi.yaml
	$(OAPI) -config internal/tools/oapi-codegen/client.yaml openapi.yaml
	$(SQLC) generate
	go run ./internal/tools/bridge

.PHONY: check
check: check-format check-vet check-lint check-imports check-sql check-generated check-bench check-deploy ## format, vet, lint, imports, SQL arguments, generated files, bench/go.mod, deploy/

.PHONY: check-format
check-format:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' | grep -v '\.gen\.go$$')); test -z "$$unformatted" || { echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; }

.PHONY: check-vet
check-vet:
	go vet ./...

# staticcheck.conf says which checks are left out, and why.
.PHONY: check-lint
check-lint:
	$(LINT) ./...

.PHONY: check-imports
check-imports:
	go test -count=1 ./internal

# A bare ? beside named arguments, or sqlc.slice before another argument, binds
# wrong values on SQLite without a word; so does a parameter that sqlc left over.
.PHONY: check-sql
check-sql:
	@grep -rnE '(^|[^-])\?|sqlc\.slice' queries --include='*.sql' && { echo "unsafe SQL arguments, see above"; exit 1; } || test $$? = 1
	@grep -nE '@[a-z_]+|sqlc\.(arg|narg|slice)\(' gen/sqlite/*.go && { echo "sqlc left a parameter over, see above"; exit 1; } || test $$? = 1

.PHONY: check-generated
check-generated:
	@before=$$(cat gen/*/*.go sdk/api/*.go | sha256sum); $(MAKE) --no-print-directory generate >/dev/null || exit 1; \
	test "$$before" = "$$(cat gen/*/*.go sdk/api/*.go | sha256sum)" || { echo "generated files were not fresh; they are now"; exit 1; }

# bench/ is a module of its own, which the commands above do not look at.
.PHONY: check-bench
check-bench:
	@cd bench && go list -m all >/dev/null

# deploy/check is a module of its own, with the types of Compose and Kubernetes.
.PHONY: check-deploy
check-deploy:
	cd deploy/check && go vet ./... && go test -count=1 ./...
