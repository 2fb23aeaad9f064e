# bash with pipefail: a failing command in a pipe fails the recipe.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
AT_ONCE ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes
export PATH := $(CURDIR)/$(BIN):$(PATH)

##@ Every day
.PHONY: help demo test test-cluster check fix bench bench-segmenter bench-detect bench-hls bench-load soak screenshot
demo: $(VENV)/runtime tools ## Watch detections: starts everything and feeds three cameras (ARGS=--once ends by itself)
	$(BIN)/python -m sluice.cli.main demo $(ARGS)

# Most tests wait, so files run in pairs (AT_ONCE=3 where there are more cores); what measures runs afterwards, with the machine to itself.
test: $(VENV)/dev tools ## All tests on real services (ARGS="-k name" for some, one after the other)
ifeq ($(ARGS),)
	status=0; \
	$(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder -m "not alone" || status=1; \
	$(BIN)/python -m pytest -m alone || status=1; \
	exit $$status
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-cluster: $(VENV)/dev ## The line on a real cluster, by SLUICE_CLUSTER, or KUBECONFIG and SLUICE_IMAGE
	$(BIN)/python -m sluice.local.install --only data
	$(BIN)/python -m tests.cluster $(ARGS)

check: $(VENV)/dev ## Style, types, documents and architecture, in seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_architecture.py tests/unit/test_docs_settings.py tests/unit/test_docs_events.py tests/unit/test_schemas.py

fix: $(VENV)/dev ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev tools ## Latency, cold start and import time beside their budgets
	$(BIN)/python -m tests.bench.line $(ARGS)

bench-segmenter: $(VENV)/dev tools ## CPU and memory beside as many ffmpeg (ARGS="--cameras 1 32 --seconds 60")
	$(BIN)/python -m tests.bench.segmenter $(ARGS)

bench-detect: $(VENV)/dev tools ## Of Triton's limit, beside frame at a time, latency and cost (ARGS="--rounds 5")
	$(BIN)/python -m tests.bench.detect $(ARGS)

bench-hls: $(VENV)/dev tools ## How soon a chunk is listed, the gateway's cost, glass to glass (ARGS="--seconds 60")
	$(BIN)/python -m tests.bench.hls $(ARGS)

bench-load: $(VENV)/dev tools ## What a chunk asks of store and NATS, and a round of the sweeper (ARGS="--seconds 60")
	$(BIN)/python -m tests.bench.load $(ARGS)

soak: $(VENV)/dev tools ## Hours of it without growth or loss (ARGS="segmenter 30m")
	$(BIN)/python -m tests.soak $(ARGS)

screenshot: $(VENV)/dev tools ## docs/watch.jpg, taken of the running line
	$(BIN)/python -m tests.browser.screenshot

##@ The local runtime
.PHONY: up down tools page clean
up: $(VENV)/runtime tools ## Start everything in the foreground (ARGS=--detach)
	$(BIN)/python -m sluice.cli.main up $(ARGS)

down: $(VENV)/runtime ## Stop everything
	$(BIN)/python -m sluice.cli.main down $(ARGS)

tools: $(VENV)/runtime ## Find or build minio, nats-server and Triton; fetch weights and clips
	$(BIN)/python -m sluice.local.install $(TOOLS)

page: $(VENV)/runtime ## Fetch what the watch page is built with, by npm
	$(BIN)/python -m sluice.local.install --only page

clean: ## Remove the environment and all local state; the tools' cache stays
	rm -rf $(VENV) .sluice

##@ In a cluster
.PHONY: image
IMAGE ?= sluice:dev
TRITON ?= nvidia
image: $(VENV)/runtime ## Build sluice:dev and sluice-triton:dev (IMAGE=registry/sluice:1, TRITON=wheel, ARGS="--only sluice")
	$(BIN)/python -m sluice.local.install --only data
	$(BIN)/python -m sluice.local.image --tag $(IMAGE) --triton $(TRITON) $(ARGS)

##@ Set-up
$(VENV)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/runtime: requirements.txt pyproject.toml | $(VENV)/python
	$(PIP) -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev: requirements-dev.txt | $(VENV)/runtime
	$(PIP) -r requirements-dev.txt
	touch $@

help: ## This text
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
