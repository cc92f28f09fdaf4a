# The oldest supported Python on this machine, unless one is given.
PYTHON ?= $(or $(shell .ci/pythons | head -n 1),python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo "docker compose" || echo docker-compose)

# All extras: the tests need each of them.
EXTRAS := embedded,examples,msgspec,nats,otel,png,postgres,prometheus,pydantic,redis,reflection,test,yaml,zstd
# The generator is pinned low: code made by it loads under every protobuf from 5.27 on.
PROTOC_PIN := grpcio-tools==1.66.2 setuptools==75.8.0
CORE_TESTS := tests/faults tests/grid/client tests/grid/mailbox tests/grid/registry \
	tests/grid/server tests/grid/sync tests/machine/core/test_async_handlers.py \
	tests/machine/core/test_concurrency.py \
	$(addprefix tests/grid/transport/test_, large_messages.py link.py pool.py stream_ends.py \
	streams.py unix_socket.py)
# Tests that face etcd; `make test-etcd` runs them on a current one.
ETCD_TESTS := tests/grid/etcd tests/grid/embedded tests/grid/registry tests/faults/test_etcd_faults.py \
	tests/faults/test_secured_etcd.py tests/grid/server/test_lost_leases.py tests/grid/server/test_leader.py
DELAYED_TESTS := tests/faults tests/grid tests/interop tests/node tests/rpc
CURRENT_ETCD := .etcd-current/etcd
# Rooms that differ most between versions of Python, and their packages, whose lines they cover.
FAST_TESTS := tests/grid/client tests/grid/mailbox tests/grid/registry tests/grid/server \
	tests/grid/sync tests/machine/core tests/machine/helpers tests/machine/waits
FAST_PACKAGES := grid/client/*,grid/mailbox/*,grid/registry/*,grid/server/*,grid/sync/*,machine/core/*,machine/helpers/*,machine/waits/*
FAST_FLOOR := 95
DEBUG_TESTS := tests/grid/client tests/grid/mailbox tests/grid/server tests/grid/sync \
	tests/machine/core/test_async_handlers.py tests/machine/helpers tests/machine/waits
# Benchmarks measure time, and containers have an interpreter of their own.
UNTRACED := --ignore=tests/bench --ignore=tests/compose
TESTS ?=
# Processes among which the files of tests are divided; none: one after another, in this one.
WORKERS ?=
DIVIDED = $(if $(WORKERS),-n $(WORKERS) --dist loadfile)
PROTOS := $(shell find protos -name '*.proto')
# Those whose services get clients and servers of the grid.
SERVICES := $(shell grep -rl --include='*.proto' 'rpc/options.proto"' protos/examples protos/tests)

# Tests start hundreds of processes, which would compile the packages each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test test-ten test-delayed test-all test-newest test-covered test-debug test-uvloop coverage pictures etcd-current test-etcd proto lint type fmt bench up down clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"  # the first one with --group
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRAS)]" --group dev
	@touch $@

install: $(VENV)/.installed ## Make the virtual environment and install everything into it

run: install ## Start etcd and three peers, run a job on their pool of workers, kill a peer half way
	$(BIN)/python -m examples.corpus --kill-leader

test: install ## Run every test; TESTS=... runs these, WORKERS=2 in two processes
	$(BIN)/python -m pytest $(DIVIDED) $(TESTS)

test-ten: install ## Run every test ten times, each time in another order; TESTS=... runs these
	@set -e; for turn in 1 2 3 4 5 6 7 8 9 10; do \
	  echo "== turn $$turn"; $(BIN)/python -m pytest $(DIVIDED) $(TESTS); \
	done

# What delays show, they show to tests that talk to etcd and to each other.
test-delayed: install ## Run tests while etcd answers late and event loops stand still; TESTS=... runs these
	$(BIN)/python -m pytest -p tests.delays -n $(or $(WORKERS),8) $(or $(TESTS),$(DELAYED_TESTS))

test-all: ## Run every test on each Python from 3.11 to 3.14 that is here; TESTS=... runs these
	@set -e; for python in $$(.ci/pythons); do \
	  version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "== Python $$version"; \
	  $(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$$version; \
	done

# Python 3.12 and later see the lines of a run for free; with branches it takes twice the time.
test-newest: ## Run a fast part of the tests on the newest Python that is here, with a floor of covered lines
	@set -e; python=$$(.ci/pythons newest); \
	version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	echo "== Python $$version"; \
	$(MAKE) --no-print-directory test-covered PYTHON=$$python VENV=.venv-$$version

test-covered: install
	$(BIN)/coverage erase
	COVERAGE_CORE=sysmon $(BIN)/coverage run -m pytest $(FAST_TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=$(FAST_FLOOR) --include="$(FAST_PACKAGES)"

test-debug: install ## Run a part of the tests in asyncio's debug mode
	PYTHONASYNCIODEBUG=1 $(BIN)/python -X dev -m pytest $(DEBUG_TESTS)

coverage: install ## Run every test and measure lines and branches, also of child processes; WORKERS=2 in two
	$(BIN)/coverage erase
	$(BIN)/coverage run --branch -m pytest $(DIVIDED) $(or $(TESTS),$(UNTRACED))
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-uvloop: install ## Run the tests of peers, clients and faults on uvloop
	GRID_TEST_LOOP=uvloop $(BIN)/python -m pytest $(CORE_TESTS)

$(CURRENT_ETCD): tests/etcd_current/go.mod tests/etcd_current/main.go
	cd tests/etcd_current && CGO_ENABLED=0 GOWORK=off go build -o ../../$@ .

etcd-current: $(CURRENT_ETCD) ## Build a current etcd from its Go module, for test-etcd

test-etcd: install ## Run the tests that face etcd on a current one: GRID_TEST_ETCD, or built with Go
	@etcd="$${GRID_TEST_ETCD:-}"; \
	if [ -z "$$etcd" ]; then $(MAKE) --no-print-directory etcd-current && etcd=$(CURRENT_ETCD); fi; \
	if [ -n "$$etcd" ]; then GRID_TEST_ETCD="$$etcd" $(BIN)/python -m pytest $(ETCD_TESTS); \
	else echo "*** SKIPPED: no current etcd was tested. Give GRID_TEST_ETCD=PATH, or install Go." >&2; fi

.venv-proto/.installed: Makefile
	$(PYTHON) -m venv .venv-proto
	.venv-proto/bin/python -m pip install --quiet $(PROTOC_PIN)
	@touch $@

proto: install .venv-proto/.installed ## Regenerate the protobuf code from protos/
	.venv-proto/bin/python -m grpc_tools.protoc -I protos --python_out=. --pyi_out=. $(PROTOS)
	.venv-proto/bin/python -m grpc_tools.protoc -I protos --grid_out=. \
	  --plugin=protoc-gen-grid=$(BIN)/protoc-gen-grid $(SERVICES)
	.venv-proto/bin/python protos/typed_stubs.py $(patsubst protos/%.proto,%_pb2.pyi,$(PROTOS))
	.venv-proto/bin/python protos/isolate.py $(patsubst protos/%.proto,%_pb2.py,$(filter protos/grid/%,$(PROTOS)))

lint: install ## Check style and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

fmt: install ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

type: install ## Check types, strictly
	$(BIN)/mypy

pictures: install ## Draw the pictures of docs/architecture.md from the code
	$(BIN)/python -m docs.pictures

bench: install ## Measure, each figure beside its yardstick in the same run
	$(BIN)/python -m bench

up: ## Start etcd and peers with docker compose
	$(COMPOSE) up --build --detach

down: ## Stop what `up` started and remove its volumes
	$(COMPOSE) down --volumes

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-3.* .venv-proto .coverage* .etcd-current .mypy_cache .pytest_cache .ruff_cache
