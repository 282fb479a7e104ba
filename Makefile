# The front door: every CI job is a target of one to three lines. `make help` lists them.
#
# All paths here are relative, since make cannot quote a checkout's path that holds a space. What the user gives
# (SYSTEM, OUT, KERNEL, INITRD) is read by the scripts from the environment for the same reason.

TARGET := aarch64-unknown-none-softfloat
# `ctl` is a program for Linux, built as the guests are.
GUESTS := $(filter-out rt,$(patsubst guests/%/Cargo.toml,%,$(wildcard guests/*/Cargo.toml)))
# Cargo needs features of EL2's and the guests' packages resolved together: one command builds them all.
BARE_METAL := -p platform-qemu-virt -p platform-rpi4 $(GUESTS:%=-p guest-%)
LINUX_PARTS := $(addprefix guests/linux/,build init inittab lease modules network profile) scripts/debian-package scripts/debian-sources \
	build/guests/ctl.elf
HOUSE := cargo run -q -p house --

export SYSTEM OUT KERNEL INITRD GIC BACKPORTS CARD KEEP
# A shell that was open when rustup came does not know it yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## This list
	@echo 'Bulkhead: make TARGET [NAME=VALUE ...]'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

# --- Use ------------------------------------------------------------------------------------------------------------

.PHONY: setup qemu qemu-bare image
setup: ## List what this host lacks and install it where allowed (BACKPORTS=1: QEMU from Debian's backports)
	@scripts/setup test && echo 'setup: nothing is missing'

qemu: ## Boot the demo in QEMU: Debian's Linux beside a 1 kHz loop (GIC=2, SYSTEM=FILE, KERNEL=FILE INITRD=FILE)
	@scripts/qemu "$${SYSTEM:-systems/demo.toml}"

qemu-bare: ## Boot two bare-metal guests; needs Rust and QEMU only (GIC=2)
	@scripts/qemu systems/bare.toml

image: ## Write a bootable image: SYSTEM=FILE OUT=IMAGE
	@scripts/image "$${SYSTEM:?make image SYSTEM=FILE OUT=IMAGE}" "$${OUT:?make image SYSTEM=FILE OUT=IMAGE}"

.PHONY: rpi4 rpi4-sd qemu-rpi4
rpi4: ## Build build/kernel8.img for the Raspberry Pi 4 (SYSTEM=FILE)
	@scripts/image "$${SYSTEM:-systems/rpi4.toml}" build/kernel8.img

rpi4-sd: rpi4 build/firmware/rpi4/start4.elf build/guests/rootfs.ext4 ## Build build/rpi4-sd.img, a card to flash: docs/RPI4.md
	@cargo run -q -p bulkhead -- sd-image build/kernel8.img -o build/rpi4-sd.img --boot build/firmware/rpi4 \
		--disk build/guests/rootfs.ext4

qemu-rpi4: ## Boot that card on QEMU's raspi4b (CARD=IMAGE; KEEP=1: guests write to it)
	@scripts/setup rpi4 && { [ -n "$${CARD:-}" ] || $(MAKE) rpi4-sd; } && scripts/qemu-rpi4 "$${CARD:-build/rpi4-sd.img}"

# --- Build ----------------------------------------------------------------------------------------------------------

.PHONY: bare-metal guests test-guests
bare-metal: ## Build EL2 for every board and the bare-metal guests
	@cargo build --release --target $(TARGET) $(BARE_METAL)
	@scripts/copy-guests $(GUESTS)

guests: bare-metal build/guests/linux/Image build/guests/u-boot.bin build/demo-disk.img ## Build what the demo's partitions run

test-guests: guests build/guests/linux-generic/Image build/guests/linux-rt/Image build/firmware/rpi4/start4.elf

# Its copy keeps its time where it has not changed, so what is made of it is not made again.
build/guests/ctl.elf: bare-metal
	@:

build/guests/linux/Image: $(LINUX_PARTS)
	@guests/linux/build cloud $(@D)

build/guests/linux-generic/Image: $(LINUX_PARTS)
	@guests/linux/build generic $(@D)

build/guests/linux-rt/Image: $(LINUX_PARTS)
	@guests/linux/build rt $(@D)

build/guests/rootfs.ext4: $(addprefix guests/linux/,rootfs lease network profile) $(wildcard guests/linux/root/etc/* guests/linux/root/etc/*/* guests/linux/root/sbin/*) \
		scripts/debian-package scripts/debian-sources build/guests/ctl.elf
	@guests/linux/rootfs $@

# Made once: the demo's Linux writes to it, so a change of its parts must not take that away. `rm` it for a new one.
build/demo-disk.img: | build/guests/rootfs.ext4
	@scripts/disk-image $@ rootfs-a=build/guests/rootfs.ext4 data=32M

# Firmware and device tree of the Raspberry Pi 4, and their licences.
build/firmware/rpi4/start4.elf: scripts/rpi4-firmware scripts/debian-package scripts/debian-sources
	@scripts/rpi4-firmware $(@D)

build/guests/u-boot.bin: scripts/debian-package scripts/debian-sources
	@package=$$(scripts/debian-package arm64 u-boot-qemu) && mkdir -p $(@D) && \
		dpkg-deb --fsys-tarfile "$$package" | tar -xO ./usr/lib/u-boot/qemu_arm64/u-boot.bin >$@

# --- Check ----------------------------------------------------------------------------------------------------------

.PHONY: check test test-long bench
check: fmt-check clippy-host clippy-target doc host-tests check-boards check-deps check-unsafe check-licences check-promises ## All that needs no QEMU
	@echo 'check: clean'

test: ## What CI runs: setup if needed, check, then one QEMU test per promise (FILTER=TEXT)
	@began=$$(date +%s) && scripts/setup test && $(MAKE) fmt-check test-parts && started=$$(date +%s) && $(MAKE) check && \
		cargo run -q -p bulkhead-tests -- --began $$began --since $$started $(FILTER)

# What compilers do, and what a fresh clone fetches, before the first test; not counted among the tests' 25
# minutes, but all together has 40.
.PHONY: test-parts
test-parts: clippy-host clippy-target doc test-guests
	@cargo test -q --no-run

test-long: ## Every combination and the long tortures
	@scripts/setup test
	@$(MAKE) check test-guests
	@cargo run -q -p bulkhead-tests -- --long $(FILTER)

.PHONY: fuzz
fuzz: ## Fuzz what a guest controls, a minute per target (FUZZ_SECONDS=N; needs cargo-fuzz and a nightly Rust)
	@targets=$$(cargo +nightly fuzz list) && for target in $$targets; do \
		cargo +nightly fuzz run "$$target" -- -max_total_time=$(or $(FUZZ_SECONDS),60) || exit; done

bench: ## Count instructions per hypervisor path, with and without Bulkhead
	@scripts/setup test
	@$(MAKE) bare-metal
	@cargo run -q -p bulkhead-tests -- bench

.PHONY: fmt fmt-check clippy-host clippy-target doc host-tests
fmt: ## Format all Rust
	@cargo fmt --all

fmt-check:
	@cargo fmt --all --check

clippy-host:
	@cargo clippy -q --all-targets -- -D warnings

clippy-target:
	@cargo clippy -q --release --target $(TARGET) -p hypervisor -p rt $(BARE_METAL) -- -D warnings

doc: ## Build the API documentation, warnings denied
	@RUSTDOCFLAGS='-D warnings' cargo doc -q --no-deps
	@RUSTDOCFLAGS='-D warnings' cargo doc -q --no-deps --release --target $(TARGET) -p hypervisor -p rt $(BARE_METAL)

host-tests: ## Test the pure crates and the tool
	@cargo test -q

.PHONY: check-boards check-deps check-unsafe check-licences check-promises
check-boards: ## The EL2 library names no board, and boards are tables
	@$(HOUSE) boards

check-deps: ## Dependencies point one way
	@$(HOUSE) deps

check-unsafe: ## unsafe and assembly stay in their places
	@$(HOUSE) unsafe

check-licences: ## Every dependency's licence is in scripts/licences.txt
	@$(HOUSE) licences scripts/licences.txt

check-promises: ## Every id in docs/promises.txt has a test
	@mkdir -p build && cargo run -q -p bulkhead-tests -- --list >build/test-names
	@cargo test -q -- --list >>build/test-names
	@$(HOUSE) promises docs/promises.txt build/test-names

.PHONY: clean
clean: ## Remove what was built; fetched Debian packages in build/apt stay
	@cargo clean -q
	@find build -mindepth 1 -maxdepth 1 ! -name apt -exec rm -rf {} + 2>/dev/null || true
