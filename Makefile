# make run            build and start a server on http://localhost:8008, with its database in ./data
# make test           everything that continuous integration checks
# make check          formatting, lints and words
# make test-web       web clients in a real browser (docs/testing.md)
# make test-packages  the Debian package, tarball and container image, installed and started
# make interop        rooms shared with Synapse, and by two Aqueducts, over TLS (docs/testing.md)
# make complement     the Complement suite (docs/testing.md)
# make bench          the criterion benches
# make audit          licenses, duplicates and advisories of the dependencies
# make release        the stripped release binary, and its debug information beside it
# make deb tarball image    packages for users (packaging/README.md)

SHELL := /bin/bash
CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/aqueduct-target
export CARGO_TARGET_DIR
# Finished packages.
DIST ?= $(CARGO_TARGET_DIR)/dist
VERSION := $(shell sed -n '/^\[workspace.package\]/,/^$$/s/^version = "\(.*\)"$$/\1/p' Cargo.toml)

# Debian packages: the linker, the compilers of RocksDB, what bindgen needs to read its header, and
# Python for the tests with real clients.
BUILD_PACKAGES := clang g++ libclang-dev mold
TEST_PACKAGES := python3 python3-venv
WEB_PACKAGES := chromium
COMPLEMENT_PACKAGES := docker.io iptables iproute2
PACKAGES_PACKAGES := debootstrap dpkg-dev

# All crates but the load generator, tests/bench.
CRATES := --workspace --exclude hsbench

CARGO_DENY_VERSION := 0.20.2

.PHONY: run test test-web test-packages interop check words bench complement audit release deb tarball \
	rootfs image setup setup-test size

run: setup
	cargo build --locked --release --package aqueduct
	exec "$(CARGO_TARGET_DIR)/release/aqueduct" serve

check: setup words
	cargo fmt --all --check
	cargo clippy --locked $(CRATES) --all-targets -- --deny warnings

# Needs Python alone.
words:
	scripts/check-words

test: setup setup-test check
	cargo test --locked $(CRATES)
	tests/clients/run --binary "$(CARGO_TARGET_DIR)/debug/aqueduct"

test-web: setup setup-test
	@scripts/install-packages $(WEB_PACKAGES)
	cargo build --locked $(CRATES)
	tests/web/run --binary "$(CARGO_TARGET_DIR)/debug/aqueduct"

test-packages: deb tarball rootfs setup-test
	@scripts/install-packages $(PACKAGES_PACKAGES)
	tests/packages/run --dist "$(DIST)" --version "$(VERSION)"

interop: setup setup-test
	cargo build --locked $(CRATES)
	tests/interop/run --binary "$(CARGO_TARGET_DIR)/debug/aqueduct" --peer aqueduct
	tests/interop/run --binary "$(CARGO_TARGET_DIR)/debug/aqueduct" --peer synapse

bench: setup
	cargo bench --locked $(CRATES)

complement: setup
	@scripts/install-packages $(COMPLEMENT_PACKAGES)
	cargo build --locked --release --package aqueduct --package complement-tests
	"$(CARGO_TARGET_DIR)/release/complement-tests" $(COMPLEMENT_FLAGS)

audit:
	scripts/audit $(CARGO_DENY_VERSION)

release: setup
	cargo build --locked --release --package aqueduct
	packaging/strip-binary "$(CARGO_TARGET_DIR)/release/aqueduct" "$(DIST)"

deb: release
	@scripts/install-packages dpkg-dev
	packaging/debian/build "$(DIST)" "$(VERSION)"

tarball: release
	packaging/build-tarball "$(DIST)" "$(VERSION)"

# The file system of the container image.
rootfs: release
	packaging/build-rootfs "$(DIST)/aqueduct" "$(DIST)/rootfs"

image: rootfs
	docker build --file packaging/Dockerfile.prebuilt --tag "aqueduct:$(VERSION)" "$(DIST)/rootfs"

size: release
	@ls -l --human-readable "$(DIST)/aqueduct" "$(DIST)/aqueduct.debug"

setup:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs"; exit 1; }
	@scripts/install-packages $(BUILD_PACKAGES)
	@scripts/rocksdb-library

setup-test:
	@scripts/install-packages $(TEST_PACKAGES)
