# Everything a developer types. Each target does its own set-up; a machine needs only Python (3.11 or newer) with venv and pip,
# git and make. Where uv is missing, scripts/uv puts one into .tools/ of this folder.
#   ARGS='…'     is handed on:   make test ARGS='-k markers -x'
#   UV_PYTHON=…  picks another interpreter, UV_PYTHON_DOWNLOADS=automatic lets uv fetch one

.DEFAULT_GOAL := help
.PHONY: test-alerts help setup setup-demo demo demo-llm demo-cluster test-cluster demo-cluster-down images test lint format crds bench hunt clean test-control-plane

RUN := scripts/uv run --no-sync
PYTEST := pytest

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 28

setup: ## install what uv.lock names into .venv (the other targets do this themselves)
	@scripts/setup

setup-demo:
	@scripts/setup demo

demo: setup-demo ## find every leak of a small leaky stack, none in its hardened twin, and verify both packs
	@echo "→ demo"
	@$(RUN) python examples/quickstart/demo.py $(ARGS)

demo-llm: setup-demo ## the same with a language model behind a streaming chat endpoint (downloads 300 MB, takes minutes)
	@scripts/uv sync --quiet --locked --all-packages --group llm
	@echo "→ demo-llm"
	@$(RUN) python examples/llm/demo.py $(ARGS)

test: setup ## run the tests
	@echo "→ $(PYTEST) $(ARGS)"
	@$(RUN) $(PYTEST) $(ARGS)

test-control-plane: setup ## the operator's tests on a real API server; builds one from Go modules (once) if none is named
	@$(RUN) python -m tests.operator.binaries
	@echo "→ $(PYTEST) tests/operator $(ARGS)"
	@$(RUN) $(PYTEST) tests/operator $(ARGS)

test-alerts: setup ## the chart's alerts by Prometheus' promtool; builds one from its Go module (once) if none is there
	@$(RUN) python -m tests.chart.promtool
	@echo "→ $(PYTEST) tests/chart/test_alerts.py $(ARGS)"
	@$(RUN) $(PYTEST) tests/chart/test_alerts.py $(ARGS)

lint: setup ## check style, types, import order and spelling; shows every failure before it fails
	@failed=; \
	for check in 'ruff check' 'ruff format --check' 'mypy' 'lint-imports --no-logo'; do \
	    echo "→ $$check"; \
	    $(RUN) $$check || failed="$$failed, $$check"; \
	done; \
	echo "→ codespell"; \
	git ls-files -z -- . ':!uv.lock' | xargs -0 $(RUN) codespell || failed="$$failed, codespell"; \
	[ -z "$$failed" ] || { echo "lint failed: $${failed#, }"; exit 1; }

format: setup ## let ruff sort imports, fix what it can and format
	@echo "→ ruff check --fix, ruff format"
	@$(RUN) ruff check --fix --quiet || true
	@$(RUN) ruff format

crds: setup ## write the custom resources' definitions into crds/ and the chart, out of the models
	@for folder in crds charts/sectum-operator/files/crds; do \
	    echo "→ $$folder/"; \
	    $(RUN) python -m sectum_operator.definitions $$folder || exit 1; \
	done

images: ## build the images of the operator and of the probes, where their sources changed, and print their references
	@scripts/images

demo-cluster: setup ## on a kind cluster: install the chart, verify a leaky and a hardened stack, fetch and verify both packs
	@echo "→ demo-cluster"
	@scripts/demo-cluster $(ARGS)

test-cluster: setup ## the same, then its tests: what each part may do and reach there, faults, findings
	@echo "→ demo-cluster"
	@scripts/demo-cluster
	@echo "→ $(PYTEST) tests/cluster $(ARGS)"
	@$(RUN) $(PYTEST) tests/cluster $(ARGS)

demo-cluster-down: setup ## remove what demo-cluster made
	@scripts/demo-cluster --down $(ARGS)

bench: setup ## run every benchmark in benchmarks/
	@for each in benchmarks/[a-z]*.py; do \
	    [ -e "$$each" ] || { echo "no benchmarks here"; exit 1; }; \
	    echo "→ $$each"; \
	    $(RUN) python "$$each" $(ARGS) || exit 1; \
	done

hunt: setup ## after runs on kind: search etcd, objects, logs, stores and packs for what must not be there (docs/hunt.md)
	@$(RUN) python -m tests.hunt $(ARGS)

clean: ## remove caches, coverage data and the demo's output; .venv and .tools stay
	@echo "→ removing caches, coverage data, dist and demo-out"
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist demo-out .coverage .coverage.*
	@find . -path ./.venv -prune -o -path ./.tools -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
