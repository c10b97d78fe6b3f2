# Two commands matter: `make run` opens the app on a ready demo project, `make test` runs every test.
# Each makes its own environment in .venv first, so a fresh machine needs only Python 3.11+ and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo-project
PYTEST_ARGS ?=
INTEROP ?= .interop

.PHONY: run test torture interop check format browser screenshots docs bench clean

run: $(VENV)/.installed
	$(BIN)/labeler demo $(DEMO)

test: $(VENV)/.installed-test browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# Kills, full disks, floods and broken files by the thousand: about an hour.
torture: $(VENV)/.installed-test browser
	$(BIN)/python -m pytest tests/torture $(PYTEST_ARGS)

# What goes to and comes from other people's programs, each in an environment of its own below
# $(INTEROP): the first time several GB and an hour. With PYTEST_ARGS=--keep the fast tests get what
# they wrote, and docs/interop.md the table.
interop: $(VENV)/.installed-test
	LABELER_INTEROP=$(abspath $(INTEROP)) $(BIN)/python -m pytest tests/interop $(PYTEST_ARGS)

check: $(VENV)/.installed-test node_modules/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/node node_modules/typescript/bin/tsc
	$(BIN)/python tests/support/known_holes.py

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

browser: $(VENV)/.installed-test
	@PYTHON=$(BIN)/python sh tests/browser/install-browser.sh

screenshots: $(VENV)/.installed-test browser
	$(BIN)/python docs/screenshots.py

# The documents as a site in site/; a broken link or anchor ends it.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documents are in site/index.html; with a search field: $(BIN)/mkdocs serve"

bench: $(VENV)/.installed-test browser
	$(BIN)/python benchmarks/run.py

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make run PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,check]'
	touch $@ $(VENV)/.installed

# The extra `docs` alone: the site is built without the program and its gigabytes.
$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $@.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $@.txt
	touch $@

# Node and npm come from the environment, the compiler that checks the pages' JavaScript from npm.
node_modules/.installed: package.json package-lock.json | $(VENV)/.installed-test
	$(BIN)/npm ci
	touch $@

clean:
	rm -rf $(VENV) node_modules build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
