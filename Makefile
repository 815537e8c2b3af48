# Every task of the project is a target here; CI runs targets only.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PROVIDER ?=
PORT ?= 1975

.DEFAULT_GOAL := help

.PHONY: help
help: ## list every target
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setup: packages of requirements.lock into $(VENV)" >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@PYTHONWARNINGS="ignore:Editable installation" \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q aigw conformance extension_server filters
	@touch $@

.PHONY: setup
setup: $(STAMP) ## virtual environment with everything, pinned by requirements.lock

.PHONY: run
run: $(STAMP) ## start the gateway (no file: built-in demo upstream; FILE=..., PORT=...)
	@$(BIN)/aigw run $(FILE) $(if $(FILE),,--port $(PORT))

.PHONY: lock
lock: ## resolve dependencies again and write requirements.lock
	@$(BIN)/pip-compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-trusted-host --strip-extras \
	  --no-emit-find-links --no-annotate --no-header --allow-unsafe --extra dev -o requirements.lock pyproject.toml

.PHONY: format
format: $(STAMP) ## format the code and sort imports
	@$(BIN)/ruff format . && $(BIN)/ruff check --quiet --fix .

.PHONY: check
check: check-format check-lint check-types check-layers check-generated ## everything that reads the code without running it

.PHONY: check-format
check-format: $(STAMP) ## formatting
	@$(BIN)/ruff format --check --quiet . && echo "format: ok"

.PHONY: check-lint
check-lint: $(STAMP) ## ruff
	@$(BIN)/ruff check --quiet . && echo "lint: ok"

.PHONY: check-types
check-types: $(STAMP) ## mypy, strict
	@$(BIN)/mypy

.PHONY: check-layers
check-layers: $(STAMP) ## import-linter (.importlinter)
	@$(BIN)/lint-imports --no-cache

.PHONY: generate
generate: generate-schemas generate-crds generate-runtime-lock generate-reference ## write generated files: schema names, CRDs, reference pages, Envoy's message types (throw-away environment with pinned xds-protos)
	@$(BIN)/python hack/generate_descriptors.py

.PHONY: generate-schemas
generate-schemas: $(STAMP) ## write filters/contract/schemas.py from the modules in filters/providers
	@$(BIN)/python -m hack.generate_schemas

.PHONY: generate-crds
generate-crds: $(STAMP) ## write manifests/crds and the chart of definitions from the models in extension_server/api
	@$(BIN)/python -m hack.generate_crds

.PHONY: generate-reference
generate-reference: $(STAMP) ## write docs/reference from the models, the flags and the chart's values
	@$(BIN)/python -m hack.generate_reference

.PHONY: generate-runtime-lock
generate-runtime-lock: $(STAMP) ## write manifests/images/requirements.lock from requirements.lock
	@$(BIN)/python -m hack.generate_runtime_lock

.PHONY: check-generated
check-generated: $(STAMP) ## are generated files those of their inputs
	@$(BIN)/python -m hack.generate_schemas --check && $(BIN)/python hack/generate_descriptors.py --check && $(BIN)/python -m hack.generate_crds --check && $(BIN)/python -m hack.generate_reference --check && $(BIN)/python -m hack.generate_runtime_lock --check && echo "generated: ok"

# Files run on two workers side by side, each whole on one: every service has ports of its own.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: test
test: $(STAMP) ## every test that needs no cluster: units, real Envoy, standalone, the bench harness
	@$(PYTEST) tests --ignore=tests/gateway --ignore=tests/e2e

.PHONY: test-unit
test-unit: $(STAMP) ## tests without any other process
	@$(PYTEST) tests/unit

.PHONY: test-envoy
test-envoy: $(STAMP) ## tests against a real Envoy, conformance cases and SDKs included
	@$(PYTEST) tests/envoy

.PHONY: test-standalone
test-standalone: $(STAMP) ## `aigw run` end to end
	@$(PYTEST) tests/standalone

# Programs of the ring with a real API server; built once per machine, in a cache outside the tree (hack/tools/build.py).
GATEWAY_TOOLS := etcd kube-apiserver envoy-gateway-1.8 helm kubectl envoy-gateway-1.9
TOOLS_SECONDS ?= 3600

.PHONY: tools
tools: $(STAMP) ## build what test-gateway starts (Go; 10 to 25 minutes the first time, TOOLS_SECONDS at most)
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) $(GATEWAY_TOOLS)

# Inside namespaces of their own: Envoy Gateway's ports are fixed. Constant load wants a quiet machine, so upgrades are apart.
LIVE := $(BIN)/python -m tests.support.isolation $(BIN)/python -m pytest -q -p no:xdist
UPGRADES := $(wildcard tests/gateway/live/test_upgrade*.py) tests/gateway/live/test_transitions.py

.PHONY: test-gateway
test-gateway: $(STAMP) ## tests with a real API server and a real Envoy Gateway (root); not to run is to fail
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) $(GATEWAY_TOOLS) \
	  || { echo "test-gateway: NOT RUN, its programs are not built" >&2; exit 1; }
	@$(PYTEST) tests/gateway --ignore=tests/gateway/live
	@$(LIVE) tests/gateway/live $(UPGRADES:%=--ignore=%) --ignore=tests/gateway/live/test_conformance.py \
	  || { test $$? -ne 3 || echo "test-gateway: NOT RUN with Envoy Gateway" >&2; exit 1; }

.PHONY: test-upgrade
test-upgrade: $(STAMP) ## upgrades and churn under constant load, with a real Envoy Gateway (root; about six minutes)
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) $(GATEWAY_TOOLS)
	@$(LIVE) $(UPGRADES)

EG ?= 1.8
COMMAND ?= kubectl get pods -A
ROUTES ?= 2000

.PHONY: lab-up
lab-up: $(STAMP) ## a real cluster with Envoy Gateway, without a container engine (root; EG=1.8 or 1.9; docs/lab.md)
	@$(BIN)/python -m hack.lab up --envoy-gateway $(EG)

.PHONY: lab-status
lab-status: $(STAMP) ## what runs in the lab and how to reach it
	@$(BIN)/python -m hack.lab status

.PHONY: lab-exec
lab-exec: $(STAMP) ## a command in the lab (COMMAND='kubectl get pods -A')
	@$(BIN)/python -m hack.lab exec sh -c '$(COMMAND)'

.PHONY: lab-down
lab-down: $(STAMP) ## end the lab, also after a crash
	@$(BIN)/python -m hack.lab down

.PHONY: lab-tools
lab-tools: $(STAMP) ## build what the lab runs (Go; about 25 minutes the first time, cached)
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) $$($(BIN)/python -m hack.lab tools --envoy-gateway $(EG))

.PHONY: test-e2e
test-e2e: $(STAMP) ## tests with pods, on the lab or on kind (AIGW_CLUSTER=lab|kind, EG=1.8|1.9); Error 3: NOT RUN
	@EG=$(EG) TOOLS_SECONDS=$(TOOLS_SECONDS) $(BIN)/python -m pytest -q --timeout 900 tests/e2e

.PHONY: charts
charts: $(STAMP) ## lint the Helm charts and pack them into out/charts
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) helm
	@$(BIN)/python -m hack.charts

.PHONY: test-bench
test-bench: $(STAMP) ## does the bench harness work (no measurement)
	@$(PYTEST) tests/bench

.PHONY: coverage
coverage: $(STAMP) ## branch coverage of the unit tests; out/coverage is the report
	@$(BIN)/coverage run -m pytest -q tests/unit
	@$(BIN)/coverage html -q -d out/coverage
	@$(BIN)/coverage report --skip-covered --skip-empty --sort=cover

.PHONY: fixtures
fixtures: $(STAMP) ## rewrite the expected files of conformance/cases (PROVIDER=...); review the diff
	@$(BIN)/python -m conformance fixtures --provider "$(PROVIDER)"

.PHONY: conformance
conformance: $(STAMP) ## every case in process and through Envoy, table and out/conformance-report.* (PROVIDER=...)
	@$(BIN)/python -m conformance run --provider "$(PROVIDER)"

.PHONY: conformance-envoy-gateway
conformance-envoy-gateway: $(STAMP) ## every case through a real Envoy Gateway too (root); adds its columns to out/conformance-report.*
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) $(GATEWAY_TOOLS) \
	  || { echo "conformance-envoy-gateway: NOT RUN, its programs are not built" >&2; exit 1; }
	@CONFORMANCE_OUT=out $(BIN)/python -m tests.support.isolation \
	  $(BIN)/python -m pytest -q -p no:xdist tests/gateway/live/test_conformance.py \
	  || { test $$? -ne 3 || echo "conformance-envoy-gateway: NOT RUN" >&2; exit 1; }

.PHONY: conformance-gateway-api
conformance-gateway-api: $(STAMP) ## the Gateway API's suite in the lab, AI routes on its Gateways (EG=1.8|1.9; ALONE=1: without us); out/gateway-api-*
	@TOOLS_SECONDS=$(TOOLS_SECONDS) $(BIN)/python -m conformance.gateway_api --envoy-gateway $(EG) $(if $(ALONE),--alone)

.PHONY: new-provider
new-provider: $(STAMP) ## start a provider: its module and its first case (NAME=acme)
	@$(BIN)/python -m conformance new-provider "$(NAME)"

.PHONY: bench
bench: $(STAMP) ## measure against bare Envoy; table and out/bench.json (about 15 minutes)
	@$(BIN)/python -m tests.bench

.PHONY: bench-quick
bench-quick: $(STAMP) ## the rows of `make bench` that the targets are about (about 2 minutes)
	@$(BIN)/python -m tests.bench --quick

.PHONY: bench-hooks
bench-hooks: $(STAMP) ## Envoy Gateway's Translation hook at 2,000 and 10,000 routes, over gRPC (about three minutes)
	@$(BIN)/python -m tests.bench.hooks

.PHONY: bench-push
bench-push: $(STAMP) ## a change's way from the API server to the running filter with 10,000 routes (about 15 minutes)
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) etcd kube-apiserver \
	  || { echo "bench-push: NOT RUN, its programs are not built" >&2; exit 1; }
	@$(BIN)/python -m tests.bench.push

.PHONY: bench-publish
bench-publish: $(STAMP) ## a changed route's way into Envoy through a real Envoy Gateway, and where its time goes (root; ROUTES=2000)
	@$(BIN)/python -m hack.tools.build --seconds $(TOOLS_SECONDS) $(GATEWAY_TOOLS) \
	  || { echo "bench-publish: NOT RUN, its programs are not built" >&2; exit 1; }
	@$(BIN)/python -m tests.support.isolation $(BIN)/python -m tests.bench.publish --routes $(ROUTES) --envoy-gateway $(EG)
