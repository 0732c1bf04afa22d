# The whole workflow. `make test` and `make demo` need Python >= 3.11 and nothing else: every verb makes .venv ready first.
#   PYTHON=python3.12   which Python makes .venv            (default: the first on PATH that is new enough)
#   WORKERS=4           how many test processes: half of a run is waiting, so more than there are cores
#   ARGS='-k frames'    further arguments for pytest, for a benchmark, or for `uv lock`
#   NAME=codec          one benchmark instead of all, and no report

.DEFAULT_GOAL := help
.PHONY: help ready demo test check lint types architecture schema coverage fix bench interop fuzz soak package lock clean

PY := .venv/bin/python
WORKERS ?= 4
ARGS ?=
NAME ?= report

export PYTHON

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

ready: ## make .venv, or find that it is made
	@sh tools/setup.sh

demo: ready ## the tour: what Taskhand does, in one command
	@$(PY) -m supervisor demo

test: ready ## all tests but interop and soak
	@$(PY) -m pytest -n $(WORKERS) $(ARGS)

# The tests come last: whoever reads the end of the output, a person or a CI, wants their summary.
check: lint types architecture schema coverage test ## everything CI runs

lint: ready
	@$(PY) -m ruff format --check --quiet
	@$(PY) -m ruff check --quiet
	@echo "lint: clean"

types: ready
	@$(PY) -m mypy

architecture: ready
	@.venv/bin/lint-imports

schema: ready
	@$(PY) -m supervisor schema --check
	@$(PY) -m tools.generated --check

coverage: ready
	@$(PY) -m tools.coverage_gate

fix: ready ## format, mend what ruff can mend, and draw again what is drawn from the code
	@$(PY) -m ruff check --fix --show-fixes || true
	@$(PY) -m ruff format
	@$(PY) -m tools.generated

bench: ready ## measurements, side by side, into docs/benchmarks.md (ARGS=--quick: into build/; NAME=codec for one)
	@sh tools/interop.sh bench
	@set -e; for name in $(NAME); do $(PY) -m bench.$$name $(ARGS); done

interop: ready ## against the packages of others, and this machine's shells (zsh, fish) and systemd
	@sh tools/interop.sh
	@$(PY) -m pytest -m interop --timeout=600 tests/interop $(ARGS)

fuzz: ready ## the random tests, with many cases (TASKHAND_FUZZ_CASES)
	@TASKHAND_FUZZ_CASES=$${TASKHAND_FUZZ_CASES:-200000} $(PY) -m pytest -n $(WORKERS) -m fuzz --timeout=3600 $(ARGS)

soak: ready ## the tests that run for minutes
	@$(PY) -m pytest -m soak --timeout=3600 $(ARGS)

package: ready ## build wheel and sdist, and install them into empty environments of each Python here
	@$(PY) -m pytest -m soak --timeout=900 -v tests/packaging $(ARGS)

lock: ready ## bring uv.lock up to pyproject.toml (ARGS=--upgrade for newer versions)
	@.venv/bin/uv --quiet --system-certs lock $(ARGS)
	@$(PY) -m tools.hostless_lock

clean: ## remove all that is made here, .venv too
	@rm -rf .venv .interop .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
