# make run    build and start a server on http://localhost:8008, with its database under ./data
# make test   everything that continuous integration checks
# make test-web  web clients in a real browser (docs/testing.md)
# make check  formatting and lints alone
# make bench  the criterion benches
# make complement  the Complement suite (docs/testing.md)

SHELL := /bin/bash
CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/aqueduct-target
export CARGO_TARGET_DIR

# Debian packages: the linker, what bindgen needs for RocksDB, and Python for the tests with real clients.
BUILD_PACKAGES := clang g++ libclang-dev mold
TEST_PACKAGES := python3 python3-venv
WEB_PACKAGES := chromium
COMPLEMENT_PACKAGES := docker.io iptables iproute2

.PHONY: run test test-web check bench complement setup setup-test

run: setup
	cargo build --locked --release --package aqueduct
	exec "$(CARGO_TARGET_DIR)/release/aqueduct" serve

check: setup
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings

test: setup setup-test check
	cargo test --locked --workspace
	tests/clients/run --binary "$(CARGO_TARGET_DIR)/debug/aqueduct"

test-web: setup setup-test
	@scripts/install-packages $(WEB_PACKAGES)
	cargo build --locked --workspace
	tests/web/run --binary "$(CARGO_TARGET_DIR)/debug/aqueduct"

bench: setup
	cargo bench --locked --workspace

complement: setup
	@scripts/install-packages $(COMPLEMENT_PACKAGES)
	cargo build --locked --release --package aqueduct --package complement-tests
	"$(CARGO_TARGET_DIR)/release/complement-tests" $(COMPLEMENT_FLAGS)

setup:
	@scripts/install-packages $(BUILD_PACKAGES)

setup-test:
	@scripts/install-packages $(TEST_PACKAGES)
