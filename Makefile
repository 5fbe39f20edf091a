# Everything on a fresh machine with only a Rust toolchain and make:
#   make run          the main job: workers contend for issues, two of them die or freeze, nothing is held twice
#   make up           the same server, to stay
#   make test         all that must be green
#   make test-matrix  the same servers' tests on Redis 7.0, Valkey 9 and whatever POPPO_SERVERS=path:path names
#   make bench        what it costs, measured; about four minutes
#   make bench-peers  its queue against others', measured; about six minutes

SHELL := /bin/sh
CARGO ?= cargo
PROFILE ?= release
BIN := target/$(PROFILE)
TESTED := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug

.DEFAULT_GOAL := help
.PHONY: help deps test-deps build programs run up test test-matrix check unit doc bench bench-peers clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

deps: ## install what is missing: redis-server, libclang and a C compiler
	@./scripts/install-deps

# Node and Python too, for the workers of docs/clients.md, and the shells that have poppo complete.
test-deps:
	@./scripts/install-deps --clients

build: deps ## build the module and the command, optimised
	$(CARGO) build --locked --profile $(PROFILE) -p poppo-module -p poppo

# All that is run, in one call: with two, most dependencies are built twice, since features are unified for each.
programs: deps
	$(CARGO) build --locked --profile $(PROFILE) -p poppo-module -p poppo -p poppo-tests

# Labels follow on a stand-in for GitHub; on GitHub itself with GITHUB_TOKEN and REPOSITORY=owner/name.
run: programs ## show the main job on real-looking issues, and judge it
	POPPO_GITHUB_SERVER=$(BIN)/poppo-github $(BIN)/poppo demo $(if $(REPOSITORY),--repository $(REPOSITORY))

up: build ## run a private redis-server with the module; data in ./.poppo
	$(BIN)/poppo up

test: test-deps check unit doc ## everything: formatting, lints, tests against real servers, documentation

check: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p poppo-core -p poppo-module --all-targets --features fault-injection -- -D warnings

# The tests and all that they run, in one call: they would build module, command and examples once more each, with most of what
# those need, since features are unified for each call.
unit: export POPPO_REQUIRE_CLIENTS = 1
unit: export POPPO_MODULE = $(TESTED)/libpoppo.so
unit: export POPPO_BIN = $(TESTED)/poppo
unit: export POPPO_EXAMPLES = $(TESTED)/examples
unit: test-deps
	$(CARGO) build --locked --workspace --lib --bin poppo --examples --tests
	$(CARGO) test --locked --workspace --no-fail-fast
	$(CARGO) test --locked -p poppo-core --features fault-injection

test-matrix: deps ## the tests that need a server on Redis, on Valkey and on POPPO_SERVERS=path:path
	@CARGO="$(CARGO)" ./scripts/test-matrix

# The module and the client both make a library called poppo: documented one after the other.
doc: deps
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --workspace --exclude poppo-module
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps -p poppo-module --document-private-items

# What both leave behind, unless BENCH says otherwise.
bench: BENCH := $(or $(BENCH),--readme README.md --json 'docs/benchmarks/{date}.json' --svg docs/benchmarks/cost-by-size.svg)
bench-peers: BENCH := $(or $(BENCH),--readme docs/benchmarks/README.md --json 'docs/benchmarks/peers-{date}.json' --svg docs/benchmarks/peers.svg)

bench: programs ## measure what it costs, in about four minutes; BENCH=--quick for one, which writes nothing
	POPPO_MODULE=$(BIN)/libpoppo.so POPPO_BIN=$(BIN)/poppo $(BIN)/poppo-bench $(BENCH)

bench-peers: programs ## compare its queue with others, in about six minutes; BENCH=--quick for one, which writes nothing
	@./scripts/install-peers
	POPPO_MODULE=$(BIN)/libpoppo.so POPPO_BIN=$(BIN)/poppo $(BIN)/poppo-bench peers $(BENCH)

clean: ## remove what was built
	$(CARGO) clean
