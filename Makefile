# Short names for the commands of the project. `make demo` and `make test` need only Python 3.11 or
# newer.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
# Package index of torch. On Linux without a GPU, set it to PyTorch's index of CPU builds; the default
# index adds gigabytes of CUDA libraries.
TORCH_INDEX ?=
DATA ?=
TARGET ?=
OUT ?= demo
PORT ?= 8765

# Without bytecode files, each process of the tests would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n logical --dist loadfile
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-servers test-dashboard test-generators image-test test-all coverage check openapi up lock sbom bench bench-gpu

help:
	@echo "make demo      train on real data and generate samples (DATA=your.zip or table.csv TARGET=column; KEEP=1 leaves the service running)"
	@echo "make test      set up and run the tests             (make test-servers: on PostgreSQL and Redis; make test-all: also the slow tests)"
	@echo "make image-test  build the container image and run it (as root, with Debian's buildah and podman)"
	@echo "make up        run the service with its state in ./var"
	@echo "make check     check formatting, types, import contracts and spelling"
	@echo "make coverage  run the tests with a branch coverage report in htmlcov/"
	@echo "make openapi   update docs/openapi.json, and the client's types and methods"
	@echo "make bench     measure the quality of the samples   (JUDGE=judge.py DATA=folder)"
	@echo "make bench-gpu measure everything on a GPU, in eight minutes (DATA=fashion_mnist.npz)"
	@echo "make lock      update the pinned dependencies"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is required: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch is installed first and is not in the lock file, because its build depends on the machine.
$(VENV)/installed: requirements/torch.txt requirements/base.txt pyproject.toml client/pyproject.toml | $(BIN)/python
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -r requirements/torch.txt
	$(PIP) --require-hashes -r requirements/base.txt
	$(PIP) --no-deps --no-build-isolation --editable . --editable client
	@touch $@

# Node.js bundles the dashboard. Where the machine has none, it is installed from PyPI.
NODE_IS_RECENT = node -e 'process.exit(+(parseInt(process.versions.node) < 18))' 2>/dev/null
NPM = PATH="$$PATH:$(abspath $(BIN))" npm --prefix app/dashboard
DASHBOARD_SOURCES := $(shell find app/dashboard -name node_modules -prune -o -name static -prune -o -name schema.d.ts -prune -o -type f -print)

app/dashboard/static/app.js: $(DASHBOARD_SOURCES) requirements/node.txt | $(BIN)/python
	@$(NODE_IS_RECENT) || $(PIP) --require-hashes -r requirements/node.txt
	@$(NPM) ci --omit=dev --ignore-scripts --no-audit --no-fund --silent && $(NPM) run --silent build \
	|| echo "The dashboard was not built, because npm failed. Everything else works; try again with: make install"

app/dashboard/node_modules/typescript: app/dashboard/static/app.js
	@$(NPM) ci --ignore-scripts --no-audit --no-fund --silent

$(VENV)/installed-dev: requirements/dev.txt requirements/dp.txt requirements/traces.txt $(VENV)/installed
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --require-hashes --no-deps -r requirements/dp.txt
	$(PIP) --require-hashes --no-deps -r requirements/traces.txt
	@touch $@

install: $(VENV)/installed app/dashboard/static/app.js

install-dev: $(VENV)/installed-dev app/dashboard/static/app.js

demo: install
	@$(BIN)/python -m semblance.demo --out $(OUT) --port $(PORT) $(if $(DATA),--data $(DATA)) $(if $(TARGET),--target $(TARGET)) $(if $(KEEP),--keep)

test: install-dev
	$(PYTEST) -m "not slow"

# Repeat the tests that use the database, storage or broker on PostgreSQL and Redis, if these run here.
test-servers: install-dev
	$(BIN)/python -m tests.servers $(PYTEST) -m "servers and not slow"

# Journeys through the dashboard with a Chromium, axe on each page, and measurements.
test-dashboard: install-dev app/dashboard/node_modules/typescript
	$(BIN)/python -m pytest -s -m slow tests/dashboard

# Generators of clients and a linter read the OpenAPI document. Node.js and npm must be installed.
test-generators: install-dev
	npm install --prefix tests/contract --no-package-lock --no-audit --no-fund --silent
	@test -x build/generators/bin/openapi-python-client || { $(BIN)/python -m venv build/generators && build/generators/bin/python -m pip install --quiet --disable-pip-version-check openapi-python-client==0.29.1; }
	PATH="$(CURDIR)/build/generators/bin:$$PATH" $(BIN)/python -m pytest -n 0 -rs tests/contract/test_generators.py

# Build the image and run its roles, with mmdebstrap, buildah, podman and runc of Debian, as root.
image-test: install-dev
	$(BIN)/python -m tests.servers $(BIN)/python -m pytest -rs -m slow tests/deploy/test_image.py

# All tests; if PostgreSQL and Redis run here, all tests on them as well.
test-all: install-dev
	$(PYTEST)
	$(BIN)/python -m tests.servers $(PYTEST)

coverage: install-dev
	$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered --cov-report=html

# The published contract, and the files of the client that are generated from it; tests compare them.
openapi: install-dev
	$(BIN)/python -m app.openapi > docs/openapi.json
	$(BIN)/python client/generate.py

check: install-dev app/dashboard/node_modules/typescript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy client/semblance client/generate.py
	$(BIN)/lint-imports
	$(BIN)/codespell
	@$(NPM) run --silent check

up: install
	$(BIN)/semblance-server up

bench: install-dev
	$(BIN)/python -m bench.images --judge $(JUDGE) --data $(DATA)

bench-gpu: install-dev
	$(BIN)/python -m bench.gpu $(if $(DATA),--data $(DATA))

lock: install-dev
	cd requirements && lock() { ../$(BIN)/uv pip compile $$1.in --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --output-file $$1.txt $$2; }; lock base; lock dev; lock node; lock traces; lock dp --no-deps

# The locked packages of a release, with their hashes, as a CycloneDX document: sbom.json.
sbom: install-dev
	$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --output-reproducible --output-format JSON --output-file sbom.json requirements/base.txt
