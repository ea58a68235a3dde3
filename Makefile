# The only commands a person needs, and what CI runs. `make` alone lists them.

PYTHON ?= python3
VENV ?= .venv
DEMO ?= examples/demo.py
# More arguments for the program that a verb runs: make test ARGS="-k resume -x"
ARGS ?=

PROJECTS := core $(patsubst %/,%,$(dir $(wildcard plugins/*/pyproject.toml)))
IMPORTS := $(notdir $(patsubst %/__init__.py,%,$(wildcard core/src/*/__init__.py plugins/*/src/*/__init__.py)))
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check -qq
STATED := Makefile pyproject.toml $(PROJECTS:%=%/pyproject.toml)
DEMO_READY := $(VENV)/.ready-for-demo
DEV_READY := $(VENV)/.ready-for-development
DOCS_READY := $(VENV)/.ready-for-docs
PEERS := $(VENV)/peers
PEERS_READY := $(PEERS)/.ready
AZURITE := $(VENV)/azurite
AZURITE_READY := $(AZURITE)/.ready
CLOUDS := tests/azure tests/gcs tests/s3

heading = @printf '\n== %s\n' '$(1)'

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test check lint types arrows wheels faults bench floors peers remotes history clouds services docs dist format clean

help: ## list these commands
	@echo 'ckpt keeps every value that a flow computes. Start here:'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Everything is installed into $(VENV), once. Another Python: make demo PYTHON=python3.12'
	@echo 'More arguments for the program behind a verb: make test ARGS="-k resume -x"'

demo: $(DEMO_READY) ## a real flow, its values kept, found and read
	@$(PY) $(DEMO) $(ARGS)

test: $(DEV_READY) ## every test but those of the clouds, in some minutes
	$(call heading,tests)
	@$(PY) -m pytest $(ARGS)

check: lint types arrows test clouds wheels docs ## all that CI runs: lint, format, types, import arrows, tests, clouds, wheels, docs

lint: $(DEV_READY) ## part of check: ruff, rules and format
	$(call heading,lint: ruff check)
	@$(PY) -m ruff check
	$(call heading,format: ruff format --check)
	@$(PY) -m ruff format --check

types: $(DEV_READY) ## part of check: mypy, strict, over the installed packages
	$(call heading,types: mypy --strict)
	@$(PY) -m mypy $(IMPORTS:%=-p %)
	@$(PY) -m mypy tests/typing

arrows: $(DEV_READY) ## part of check: which module may import which
	$(call heading,import arrows: lint-imports)
	@$(VENV)/bin/lint-imports --no-logo

wheels: dist ## part of check: the wheels, tried in an environment of their own
	$(call heading,wheels in a clean environment)
	@$(PY) -m pytest -m wheels tests/test_wheels.py

clouds: $(DEV_READY) $(AZURITE_READY) ## part of check: the cloud backends against servers on this machine, in some minutes
	$(call heading,clouds)
	@$(PY) -m pytest -m clouds $(CLOUDS) $(ARGS)

services: ## what tests need of the system: Debian's PostgreSQL, which is installed but not started; needs root
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
	    echo 'PostgreSQL is missing, and only root on a Debian machine can install it: apt-get install postgresql' >&2; exit 1; \
	  fi; \
	  echo 'Installing postgresql'; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq \
	  && apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null \
	  && sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
	  && apt-get install -y -qq --no-install-recommends postgresql >/dev/null; }

faults: $(DEV_READY) ## kills, power losses, full disks, damage: every promise about kept values, put to the test
	@$(PY) faults/run.py $(ARGS)

bench: floors peers remotes history ## how fast: against doing the same by hand, beside joblib and Prefect, into S3, and recorded

floors: $(DEV_READY) ## part of bench: against doing the same by hand
	@$(PY) benchmarks/run.py $(ARGS)

peers: $(PEERS_READY) ## part of bench: beside joblib and Prefect
	@$(PEERS)/bin/python benchmarks/peers.py $(ARGS)

history: $(DEV_READY) ## part of bench: what the record of runs costs, and what it saves
	@$(PY) benchmarks/history.py $(ARGS)

remotes: $(DEV_READY) ## part of bench: values in S3, against boto3 itself with the same server
	@$(PY) benchmarks/clouds.py $(ARGS)

docs: $(DOCS_READY) ## the documentation as a site, into build/site/; part of check
	$(call heading,docs: sphinx)
	@$(PY) -m sphinx --fresh-env --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees docs build/site $(ARGS)
	@echo 'build/site/index.html'

dist: $(DEV_READY) ## the wheels of all packages, into dist/
	$(call heading,wheels of all packages into dist/)
	@rm -f dist/ckpt_*.whl
	@$(PIP) wheel --no-build-isolation --no-deps --wheel-dir dist $(PROJECTS:%=./%)
	@ls dist/*.whl

format: $(DEV_READY) ## put the code in shape
	@$(PY) -m ruff check --fix-only
	@$(PY) -m ruff format

clean: ## remove what was built and cached, and the environment
	rm -rf build dist $(VENV)
	find . -type d \( -name __pycache__ -o -name '.*_cache' -o -name .hypothesis \) -prune -exec rm -rf {} +

# The environment. A stamp tells what it is ready for, so a second run of a verb installs nothing; what is ready for
# development is ready for the demo too. All our packages go into one command: pip finds siblings in no other way.

$(PY):
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'ckpt needs Python 3.11 or newer, and there is no command "$(PYTHON)". Name another one: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("ckpt needs Python 3.11 or newer; $(PYTHON) is " \
	  + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON) cannot make environments. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Making the environment $(VENV)'
	@$(PYTHON) -m venv $(VENV)

# Dependency groups need pip 25.1; the one that comes with Python is often older.
$(DEMO_READY): $(STATED) | $(PY)
	@echo 'Installing what the demo needs'
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group demo
	@$(PIP) install --no-build-isolation -e 'core[cli]' $(PROJECTS:%=-e ./%)
	@touch $@

$(DEV_READY): $(STATED) | $(PY)
	@echo 'Installing what development needs'
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group dev
	@$(PIP) install --no-build-isolation -e 'core[cli,testing]' $(PROJECTS:%=-e ./%)
	@touch $(DEMO_READY) $@

$(DOCS_READY): $(STATED) | $(DEMO_READY)
	@echo 'Installing what the docs need'
	@$(PIP) install --group docs
	@touch $@

# An environment of their own: they bring about a hundred packages, and what those ask for is not to bind ours.
$(PEERS_READY): $(STATED) | $(PY)
	@echo 'Installing ckpt, joblib and Prefect into $(PEERS)'
	@$(PY) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check -qq install --upgrade 'pip>=25.1'
	@$(PEERS)/bin/python -m pip -qq install --group peers
	@$(PEERS)/bin/python -m pip -qq install --no-build-isolation -e ./core -e ./plugins/json -e ./plugins/local
	@touch $@

# Azure's emulator is an npm package; npm and its node come from PyPI, with the rest of what development needs.
$(AZURITE_READY): $(STATED) | $(DEV_READY)
	@echo 'Installing Azurite into $(AZURITE)'
	@mkdir -p $(AZURITE)
	@$(VENV)/bin/npm install --prefix $(AZURITE) --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error azurite@3
	@touch $@
