# Everything a person or CI does here is a target; bare `make` prints them.

# The toolchain of go.mod, also where the environment says GOTOOLCHAIN=local: older ones have faults
# in their HTTP/2 server. Go fetches it once.
export GOTOOLCHAIN := go$(shell awk '$$1 == "go" { print $$2 }' go.mod)

# The modules of go.work. Programs with dependencies that nobody else should see are modules outside
# of it, each built with GOWORK=off.
MODULES  := . api message
PACKAGES := $(patsubst ././...,./...,$(MODULES:%=./%/...))

# The race detector needs a C compiler. Without one the tests run all the same, and say so;
# `make test RACE=-race`, as in CI, insists on it.
RACE ?= $(if $(shell command -v gcc || command -v clang),-race)

.DEFAULT_GOAL := help
.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build the broker and start it, with its data in ./strata-data
	bin/strata server

.PHONY: build
build: ## compile everything, the broker into bin/strata
	go build $(PACKAGES)
	$(if $(wildcard cmd/strata),go build -o bin/ ./cmd/strata)

.PHONY: test
test: ## run every test once, with the race detector; needs Go alone
	@tools/install versitygw >/dev/null
	@echo "compiling and running the tests of the modules $(MODULES)$(if $(RACE), with the race detector (the first time takes minutes),: no C compiler, so WITHOUT the race detector)"
	go test $(RACE) $(PACKAGES)

.PHONY: check
check: format vet lint tidy archtest ## format, vet, golangci-lint, go.mod files, architecture and documents

.PHONY: format
format:
	@echo "gofumpt"
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs grep -L '^// Code generated .* DO NOT EDIT' | \
		xargs "$$(tools/install gofumpt)" -l) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "gofumpt -w these files:"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet:
	go vet $(PACKAGES)
	go fix -diff $(PACKAGES)

.PHONY: lint
lint:
	@tools/install golangci-lint >/dev/null
	"$$(tools/install --path golangci-lint)" run $(PACKAGES)

.PHONY: tidy
tidy:
	@for module in $$(git ls-files -co --exclude-standard 'go.mod' '*/go.mod' | xargs dirname); do \
		echo "go mod tidy in $$module"; (cd "$$module" && GOWORK=off go mod tidy -diff) || exit 1; \
	done

.PHONY: archtest
archtest:
	go test -count=1 ./internal/archtest ./internal/doctest

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (5s)
	tools/fuzz $(or $(FUZZTIME),5s)

.PHONY: generate
generate: ## repeat the generated code
	go generate $(PACKAGES)

# Conformance drives the official clients, each from its registry package, against bin/strata.
CONFORM = cd conformance && GOWORK=off go test -count=1 -timeout 30m -v

.PHONY: conformance
conformance: build ## the official clients against the broker (Go, Java, Python, Node.js, Rust)
	conformance/prepare
	$(CONFORM) ./...

.PHONY: conformance-all
conformance-all: build ## conformance, with older versions of the clients as well
	conformance/prepare --all
	STRATA_CONFORMANCE_ALL=1 $(CONFORM) ./...

# Power cuts and broken disks need root and loop devices, and fail without.
TORTURE = bin/torture $(1) -binary bin/strata $(if $(LEDGER),-ledger $(LEDGER))

.PHONY: torture
torture: build ## kill -9 (KILLS=500) and power cuts (CUTS=300) under load, broken disks, planted bugs
	go build -o bin/ ./torture
	$(call TORTURE,kill) -cycles $(or $(KILLS),500)
	$(call TORTURE,powercut) -cycles $(or $(CUTS),300)
	$(call TORTURE,disk)
	$(call TORTURE,planted)

.PHONY: bench
bench: build ## measure every path beside a bare gRPC echo of the same run; ARGS for its flags
	go run ./bench $(ARGS)

.PHONY: bench-peers
bench-peers: build ## the same sends on a real RocketMQ 5, in the same run
	go run ./bench --peers --out bench/peers.json $(ARGS)

.PHONY: ci
ci: ## everything that CI runs
	.ci/run
