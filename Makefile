# Everything below sets itself up in .venv, from the lock file; nothing else has to be installed but Python and make.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
# Tests of one file share what they have set up.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup demo objects test test-slow lint warm-up manual format lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(READY) ## Make the virtual environment in .venv

# The marker is touched last, so an installation that was interrupted is started again.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(READY) ## Train a small model on real speech for about two minutes and compare it with gzip, lzma, FLAC and WavPack
	@$(RUN) examples/demo.py

objects: $(READY) ## Compile the kernels ahead of time, as a wheel has them; good until a source changes
	$(RUN) -m language_modeling_is_compression.cli.objects

test: $(READY) ## Check and run the tests (a few minutes)
	@$(MAKE) --no-print-directory --jobs 2 warm-up-coding lint warm-up-drawing
	$(RUN) -m pytest -q $(PARALLEL)

test-slow: $(READY) ## Run the tests that take long: kills, memory, whole matrices, what draws and traces version 2
	$(RUN) -m pytest -q -m slow $(PARALLEL)

lint: $(READY) ## Check format, style, types and the direction of imports
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy --no-error-summary
	$(VENV)/bin/lint-imports --no-logo > /dev/null || $(VENV)/bin/lint-imports

# Or else every process of the tests would compile the same code.
warm-up: warm-up-coding warm-up-drawing

warm-up-%: $(READY)
	@$(RUN) tests/support/warm_up.py $*

manual: $(READY) ## Write docs/lmic.1 and docs/SETTINGS.md from the commands' flags
	$(RUN) -m language_modeling_is_compression.cli.manual > docs/lmic.1
	$(RUN) -m language_modeling_is_compression.cli.settings_table > docs/SETTINGS.md

format: $(READY) ## Format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

lock: $(READY) ## Choose the newest allowed versions and write requirements.lock
	$(RUN) -m pip install --quiet uv
	$(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --all-extras --group dev --group build --output-file requirements.lock pyproject.toml

clean: ## Remove what the other targets made
	rm -rf build language_modeling_is_compression/kernels/compiled $(VENV) demo .pytest_cache .ruff_cache .hypothesis *.egg-info
