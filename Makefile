# Needs rustup's cargo and a python3 (3.10 or newer), and for the tests a redis-server, which root gets
# from Debian by itself; everything else is installed below target/ and .venv*/. The first `make demo`
# compiles for a few minutes, later ones start at once.
#
#   make demo                          answers with citations, offline, and a table of timings
#   make demo QUESTION="..." DOCS="a.md folder/"
#   make test                          everything the project claims, in one run
#   make bench                         the numbers, against GraphBit 0.6.8, in one run
#   make ray-test                      graphbit.ray on a local Ray of two workers, apart from `make test`
#   make bench-split                   splitting and counting beside nine rivals (BENCH=--quick)
#   make wheel                         the wheel to publish, in target/wheels

PYTHON ?= python3
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
PY := $(VENV)/bin/python
PEER := .venv-peer
RIVALS := .venv-rivals
RAY := .venv-ray
TOOLS := $(CARGO_TARGET_DIR)/tools
SIMULATOR := $(CARGO_TARGET_DIR)/quick/graphbit-simulator
SOURCES := $(shell find src python -type f -not -name '*.so' -not -name '*.pyc') Cargo.toml Cargo.lock pyproject.toml
export PATH := $(TOOLS)/bin:$(PATH)
# The binding must see one interpreter in every build, or cargo would compile it again each time.
export PYO3_PYTHON := $(CURDIR)/$(PY)

# The steps share two target profiles; side by side they would only wait for cargo's lock.
.NOTPARALLEL:
.PHONY: demo test ray-test bench bench-split wheel lint core deny types docs python redis clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.wheel $(SIMULATOR)
	@GRAPHBIT_SIMULATOR='$(SIMULATOR)' $(PY) -m graphbit.demo $(if $(QUESTION),--question '$(subst ','\'',$(QUESTION))') $(DOCS)

test: lint core deny types docs python

bench: $(VENV)/.wheel $(VENV)/.dev $(SIMULATOR) $(PEER)/.installed
	cargo build --locked --quiet --profile quick --package graphbit-floor
	GRAPHBIT_SIMULATOR='$(SIMULATOR)' GRAPHBIT_FLOOR='$(CARGO_TARGET_DIR)/quick/graphbit-floor' \
	  GRAPHBIT_PEER_PYTHON='$(CURDIR)/$(PEER)/bin/python' $(PY) benches/run.py $(BENCH)
	GRAPHBIT_SIMULATOR='$(SIMULATOR)' GRAPHBIT_PEER_PYTHON='$(CURDIR)/$(PEER)/bin/python' $(PY) benches/lifecycle.py
	$(PY) benches/retrieval.py

# The vocabularies of tiktoken and gigatoken come from a crate, so that nothing is fetched while measuring.
bench-split: $(VENV)/.wheel $(PEER)/.installed $(RIVALS)/.installed
	cargo fetch --locked --quiet
	GRAPHBIT_PEER_PYTHON='$(CURDIR)/$(PEER)/bin/python' GRAPHBIT_RIVALS_PYTHON='$(CURDIR)/$(RIVALS)/bin/python' \
	  $(PY) benches/splitting.py $(BENCH)

wheel: $(VENV)/.tools
	$(VENV)/bin/maturin build --release --out '$(CARGO_TARGET_DIR)/wheels'

# --- the steps of `make test` ---------------------------------------------------------------------

lint: $(VENV)/.dev
	cargo fmt --all --check
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	cargo clippy --locked --workspace --all-targets --no-default-features -- -D warnings
	cargo clippy --locked --workspace --all-targets --features graphbit/python -- -D warnings

# The core alone, without Python, in the dev profile: overflow checks and debug assertions are on.
core: $(TOOLS)/.nextest $(SIMULATOR) redis
	GRAPHBIT_SIMULATOR='$(SIMULATOR)' cargo nextest run --locked --workspace --no-default-features
	cargo test --locked --doc --package graphbit --no-default-features --quiet

deny: $(TOOLS)/.deny
	cargo deny --all-features --log-level error check licenses bans sources

types: $(VENV)/.wheel $(VENV)/.dev
	$(PY) -m mypy.stubtest graphbit --allowlist .mypy-stubtest-allowlist --mypy-config-file pyproject.toml
	$(PY) -m basedpyright --pythonpath $(PY)

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict --config-file .mkdocs.yml --site-dir '$(CARGO_TARGET_DIR)/site'

# Three at once, whatever the machine: the tests wait more than they compute (PYTEST="-n0 ..." for one alone).
python: $(VENV)/.wheel $(VENV)/.dev $(SIMULATOR) $(PEER)/.installed redis
	GRAPHBIT_SIMULATOR='$(SIMULATOR)' GRAPHBIT_PEER_PYTHON='$(CURDIR)/$(PEER)/bin/python' $(PY) -m pytest --numprocesses 3 --dist worksteal $(PYTEST)

# Not a step of `make test`: Ray is 240 MB, brings pyarrow and pandas, starts for ten seconds, and warns of its own
# deprecations, which the other tests take for errors, and would report to its makers. Nothing of it is imported by
# the package itself.
ray-test: $(RAY)/.installed $(VENV)/.wheel $(SIMULATOR)
	$(RAY)/bin/python -m pip install --quiet --force-reinstall --no-deps '$(CARGO_TARGET_DIR)'/wheels-quick/graphbit-*.whl
	GRAPHBIT_SIMULATOR='$(SIMULATOR)' PYTHONPATH=tests/cluster:tests/python RAY_USAGE_STATS_ENABLED=0 \
	  $(RAY)/bin/python -m pytest --override-ini filterwarnings= --override-ini addopts= \
	  --override-ini asyncio_mode= --timeout 300 tests/cluster $(PYTEST)

# --- what the steps stand on ----------------------------------------------------------------------

$(VENV)/.tools:
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet pip==26.3 maturin==1.16.0
	touch $@

# One optimised build serves demo, tests and benchmarks; only `make wheel` pays for the long link.
$(VENV)/.wheel: $(VENV)/.tools $(SOURCES)
	rm -rf '$(CARGO_TARGET_DIR)/wheels-quick'
	$(VENV)/bin/maturin build --locked --profile quick --interpreter $(PY) --out '$(CARGO_TARGET_DIR)/wheels-quick'
	$(PY) -m pip install --quiet --force-reinstall --no-deps '$(CARGO_TARGET_DIR)'/wheels-quick/graphbit-*.whl
	$(PY) -m pip install --quiet 'graphbit[demo]'
	touch $@

$(VENV)/.dev: $(VENV)/.tools pyproject.toml
	$(PY) -m pip install --quiet --group dev
	touch $@

# `--workspace` with the binding's feature on resolves the same dependency features as the wheel's
# build, so the two share what they compile. Only the benchmarks need the floor, and its HTTP library.
$(SIMULATOR): $(VENV)/.tools $(shell find tests/simulator -type f) Cargo.lock
	cargo build --locked --profile quick --workspace --exclude graphbit-floor --bins --features graphbit/python
	touch $@

$(PEER)/.installed:
	$(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet graphbit==0.6.8 uvloop
	touch $@

$(RAY)/.installed:
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install --quiet 'ray[data]==2.60.0' pytest==9.2.0 pytest-timeout==2.4.0
	touch $@

# Pinned: a comparison names versions. One that has no wheel for this interpreter is left out.
$(RIVALS)/.installed:
	$(PYTHON) -m venv $(RIVALS)
	for package in langchain-text-splitters==1.1.3 semantic-text-splitter==0.33.1 chonkie==1.7.0 \
	  chunkr-rs==1.6.0 semchunk==4.1.1 tiktoken==0.14.0 gigatoken==0.10.0 rs-bpe==0.1.0; do \
	  $(RIVALS)/bin/python -m pip install --quiet $$package || echo "left out: $$package"; done
	touch $@

# Unoptimised: both are quicker to build than a release build is, and fast enough to run.
$(TOOLS)/.nextest:
	cargo nextest --version >/dev/null 2>&1 || \
	  env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --root '$(TOOLS)' cargo-nextest@0.9.143
	mkdir -p '$(TOOLS)' && touch $@

$(TOOLS)/.deny:
	cargo deny --version >/dev/null 2>&1 || \
	  env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug --root '$(TOOLS)' cargo-deny@0.20.2
	mkdir -p '$(TOOLS)' && touch $@

# For the tests of rate limits that processes share. They start a server of their own on a port of its own;
# one that the package may have started is left alone.
redis:
	@command -v redis-server >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server >/dev/null; } || \
	  { echo 'redis-server is missing: install it (Debian: apt-get install redis-server)' >&2; exit 1; }

clean:
	rm -rf '$(CARGO_TARGET_DIR)' $(VENV) $(PEER) $(RIVALS) $(RAY)
