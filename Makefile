# make help lists what can be made.

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZ_TIME ?= 10s
SEEDS     ?= 3000
# More flags for go test, as -v or -json.
TEST_FLAGS ?=

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
# The race detector needs a C compiler.
RACE      := $(if $(shell command -v $$(go env CC)),-race)

.PHONY: help build test vet lint fuzz sim interop bench bench-failover bench-scale bench-bgp bench-micro bench-compare demo clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

build: ## build/vrouter, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o build/vrouter ./cmd/vrouter

# These drive programs from outside: the race detector would see nothing of
# them, and slow down those that measure. They wait more than they work, those
# with daemons of others most of all.
OUTSIDE := ./bench/... ./internal/planted ./internal/probe ./lab/demo ./lab/wan

# These start no goroutine, which a test of the sources keeps so; nor do their
# tests, but for simulations side by side.
PURE := ./packet ./vrrp ./arp ./ndp ./mcast ./bfd ./neigh ./config ./bgp ./rib ./router ./dataplane ./dataplane/fib ./bench/prefixes ./lab/sim

# A module of others that go.mod replaces by one of ours.
REPLACED := github.com/eapache/channels

# One package at a time but for the pure ones: some tests measure how long a
# takeover takes.
test: ## every test, with the race detector where it can see something and there is a C compiler
	@go build $(RACE) ./...
	@failed=; \
	go test $(TEST_FLAGS) $(PURE) || failed=1; \
	go test $(RACE) -p 1 $(TEST_FLAGS) $$(go list ./... | grep -vxF "$$(go list $(PURE) $(OUTSIDE) ./internal/interop)") $(REPLACED) || failed=1; \
	go test -p 1 -parallel 8 $(TEST_FLAGS) $(OUTSIDE) || failed=1; \
	go test -parallel 8 $(TEST_FLAGS) ./internal/interop || failed=1; \
	[ -z "$$failed" ]

vet: ## go vet
	go vet ./... $(REPLACED)

lint: vet ## gofumpt, staticcheck and the tests of the sources
	go -C tools build -o ../build/ tool
	@test -z "$$(build/gofumpt -l .)" || { build/gofumpt -d .; exit 1; }
	build/staticcheck ./... $(REPLACED)
	go test ./internal/sourcetest

fuzz: ## each fuzz target for FUZZ_TIME (10s)
	.ci/fuzz $(FUZZ_TIME)

sim: ## the simulation alone, from SEEDS seeds (3000)
	go test -count=1 ./lab/sim -run TestSeeds -seeds=$(SEEDS)

interop: ## against Linux hosts, keepalived, FRR and tshark alone
	go test -count=1 -v ./internal/interop

# The pages in docs are of runs of everything; a part is measured with flags.
bench: ## forwarding figures beside the kernel and DPDK (FLAGS="-routers vrouter-tap -rounds 3": a part)
	go run ./bench/forwarding $(if $(FLAGS),$(FLAGS),-page docs/bench/forwarding.md -picture docs/bench/forwarding.svg)

bench-failover: ## failover figures beside keepalived and FRR (FLAGS="-events kill -repeat 1": a part)
	go run ./bench/failover $(if $(FLAGS),$(FLAGS),-page docs/bench/failover.md)

bench-scale: ## a routing table of the Internet's size: load, memory, forwarding, changes (FLAGS="-rounds 3 -v4 100000")
	go run ./bench/scale $(if $(FLAGS),$(FLAGS),-page docs/bench/scale.md)

bench-bgp: ## BGP with a table of the Internet's size: load beside GoBGP alone, memory, VRRP meanwhile, a lost neighbour (FLAGS="-rounds 1 -v4 100000 -v6 20000")
	go run ./bench/bgp $(if $(FLAGS),$(FLAGS),-page docs/bench/bgp.md)

# To compare: make bench-micro bench-compare BENCH_DIR=build/bench
BENCH_DIR ?= docs/bench
BENCH_FLAGS ?= -benchtime=0.2s -count=6
bench-micro: ## what Forward costs by family, routes and flows, and lookups and changes of routes: files for benchstat in BENCH_DIR
	mkdir -p $(BENCH_DIR)
	go test ./dataplane -run '^$$' -bench '^BenchmarkPacket$$' $(BENCH_FLAGS) | tee $(BENCH_DIR)/forward.txt
	go test ./dataplane/fib -run '^$$' -bench '^BenchmarkRoutes$$' $(BENCH_FLAGS) | tee $(BENCH_DIR)/routes.txt

bench-compare: ## BENCH_DIR beside docs/bench, by benchstat
	go -C tools build -o ../build/ tool
	build/benchstat docs/bench/forward.txt $(BENCH_DIR)/forward.txt
	build/benchstat docs/bench/routes.txt $(BENCH_DIR)/routes.txt

demo: ## two routers and their failovers, in namespaces of this machine
	go run ./cmd/vrouter demo

clean: ## remove what was built
	rm -rf build
