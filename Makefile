# What people and continuous integration call. `make` alone says what there is.
#
# Needs Rust (rustup or a package), a C compiler, Python 3.11 or later, make. Works offline once .venv, the crates and the
# build are there. PYTHON=/path/to/python chooses the interpreter.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory
SHELL := bash

PYTHON ?=
VENV := .venv/bin
STEP := @scripts/step.sh
PSO := target/release/pso
# Runs of two seconds take 20 minutes in all, those of ten, without --seconds, 100.
PEERS ?= --seconds 2 --out results/peers.json --plot results/peers
# Cargo alone, outside maturin: do not look for a libpython to link the extension with.
export PYO3_BUILD_EXTENSION_MODULE := 1
# The folder of the outputs is part of what the demo promises.
export CARGO_TARGET_DIR := $(CURDIR)/target

.PHONY: help setup venv build install demo check lint test test-rust test-python bench sweep torture fuzz verify clean

help:
	@echo 'make demo      build all; count and index the standard library in shared objects while workers are killed'
	@echo 'make test      everything that must hold: format, lints, all Rust and Python tests, stubs, kill tests, a sampled demo'
	@echo 'make check     the quick part: format, lints, unit tests'
	@echo 'make bench     most measurements of results/, anew: what is there is overwritten'
	@echo 'make sweep     traces on real processes and on the simulated machine, with charts, in results/'
	@echo 'make torture   2,000 random kills of native writers'
	@echo 'make fuzz      searches for space files that harm who opens them, where a nightly compiler and cargo-fuzz are found'
	@echo 'make verify    the evidence that takes hours: models (with cargo-nextest), 10,000 kills, 1,000 stops; verdicts in results/verify.json'
	@echo 'make setup     .venv with the pinned tools, the package in it, and the command target/release/pso'
	@echo 'make clean     removes target and .venv'
	@echo 'PYTHON=...     the interpreter to use (3.11 or later)'

setup: build install

venv:
	$(STEP) 'virtual environment' bash -c 'scripts/venv.sh "$$(scripts/python.sh "$(PYTHON)")"'

# The command and, in the same build directory and profile, the extension: the engine is compiled once.
build: venv
	$(STEP) 'build the command pso' cargo build --release --locked -p pso-harness

install: venv
	$(STEP) 'build and install the package' env VIRTUAL_ENV=$(CURDIR)/.venv $(VENV)/maturin develop --release --locked --quiet -m pybind/Cargo.toml

demo: setup
	$(STEP) 'demo' $(PSO) demo $(DEMO)

check: lint
	$(STEP) 'unit tests' scripts/rust-tests.sh unit

lint: venv
	$(STEP) 'rustfmt' cargo fmt --all --check
	$(STEP) 'clippy' cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(STEP) 'ruff' bash -c '$(VENV)/ruff check . && $(VENV)/ruff format --check .'

# Each step prints its name and time. What is quick comes first, so that a mistake shows early. The unit tests of `check` are
# among the Rust tests. The demo is run by the command that these were built with: with assertions, and without the minutes that
# the fast one of `make demo` takes to build. The extension is the one that is installed.
test: lint test-rust test-python
	$(STEP) 'sampled demo' target/debug/pso demo --sample 0.1 --kills 3 --seed 7
	@echo && echo 'make test: ok'

test-rust:
	$(STEP) 'Rust tests, with the kill tests' scripts/rust-tests.sh all

test-python: install
	$(STEP) 'Python tests' $(VENV)/python -m pytest pybind -q
	$(STEP) 'Python tests of the benchmarks' $(VENV)/python -m pytest harness/tests -q
	$(STEP) 'stubs' $(VENV)/python -m mypy.stubtest pso
	$(STEP) 'interpreters with a GIL of their own' scripts/other-pythons.sh

bench: setup
	$(STEP) 'bank, native' $(PSO) bench native --out results/bank-native.json
	$(STEP) 'bank, Python' $(PSO) bench bank --out results/bank.json
	$(STEP) 'single operations' $(PSO) bench micro --out results/micro.json
	$(STEP) 'wake-ups' $(PSO) bench wake --out results/wake.json
	$(STEP) 'collections' $(PSO) bench garbage --seconds 60 --out results/garbage.json --plot results/garbage
	$(STEP) 'kills' $(PSO) bench kill --out results/kill.json
	$(STEP) 'engine beside locks and STMs' cargo bench --locked -p pso-harness --bench peers -- $(PEERS)
	$(STEP) 'allocator and references' cargo bench --locked -p pso-harness --bench memory -- --out results/allocator.json
	$(STEP) 'small transaction, criterion' cargo bench --locked -p pso-harness --bench small

sweep: setup
	$(STEP) 'sweep, real and simulated' $(PSO) sweep --out results/sweep.json --plot results/sweep $(SWEEP)

torture: build
	$(STEP) 'torture' $(PSO) torture --kills 2000 $(TORTURE)

# Without a step of its own name: that it was not run is to be read.
fuzz:
	scripts/fuzz.sh $(FUZZ)

verify: build
	$(STEP) 'verify' $(PSO) verify --out results/verify.json $(VERIFY)
	scripts/fuzz.sh $(FUZZ)

clean:
	rm -rf target .venv .pytest_cache .hypothesis .ruff_cache .mypy_cache
