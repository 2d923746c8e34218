# Start with `make demo` and `make test`. Both create .venv first, with uv if it is installed.
.PHONY: help setup demo test test-long test-dates test-lake test-newest lint lint-page types check docs release renew bench clean
BIN := .venv/bin
PYTHON ?= python3
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
PACKAGE_DATA := pipelines/package_data/marts.json
EXTRAS := dev,lakehouse,deploy,telemetry,docs,explore
# Always keep bytecode: tests start the program dozens of times.
export PYTHONDONTWRITEBYTECODE :=

help:
	@echo "make demo         load a simulated account to explore"
	@echo "make test         the test suite"
	@echo "make test-long    the slow proofs too"
	@echo "make test-dates   tests of the flow at ten moments: month ends, a leap day, around midnight (Linux with a C compiler)"
	@echo "make test-lake    tests of the flow on a lakehouse with its own PostgreSQL"
	@echo "make test-newest  the suite with the newest duckdb, polars and dagster"
	@echo "make lint types   ruff, codespell, and biome and tsc for the report's JavaScript (if npm is installed); mypy"
	@echo "make docs         the documentation as a site under build/docs/site"
	@echo "make release      build dist/, check it, and print what to publish"
	@echo "make renew        renew every pin"
	@echo "make bench        measurements: a cold load compared with dlt and the SDK, growth, event log, observations"

setup: .venv/.ready $(PACKAGE_DATA)

.venv/.ready: pyproject.toml constraints.txt
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing .venv && uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[$(EXTRAS)]'; \
	else \
	  $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None' \
	  && $(PYTHON) -m venv .venv && $(INSTALL) '.[$(EXTRAS)]'; \
	fi
	@touch $@

# Charts and parsed SQL, which each new home would generate otherwise; a wheel contains them.
$(PACKAGE_DATA): .venv/.ready hatch_build.py $(wildcard pipelines/catalog/*.py pipelines/marts/*.py pipelines/report/*.py sql/marts/*.sql)
	@$(BIN)/python -W ignore hatch_build.py

demo: setup
	@$(BIN)/livehouse demo

# Three workers keep two CPUs busy: a third of a test's time is waiting for servers, processes and disks.
test: setup
	POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal -m "not long"

test-long: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Both the tests' clock (TESTS_NOW) and the machine's (a preloaded library) are set to each of these moments.
MOMENTS := 2026-11-27T16:00:00 2026-01-31T12:00:00 2026-04-30T23:50:00 2026-05-01T00:00:10 2026-12-31T23:50:00 \
	2027-01-01T00:00:10 2027-02-28T09:00:00 2028-02-29T23:50:00 2028-03-01T00:00:10 2030-10-31T03:30:00
DATED := tests/promises tests/test_*.py

test-dates: setup
	@mkdir -p build && $(CC) -shared -fPIC -O2 -Wall -o build/machine_clock.so tests/moved/machine_clock.c
	for moment in $(MOMENTS); do \
	  ahead=$$(($$(date -ud $$moment +%s) - $$(date +%s))) && echo "at $$moment" \
	  && TZ=UTC POLARS_MAX_THREADS=1 TESTS_NOW=$$moment MACHINE_CLOCK_AHEAD=$$ahead LD_PRELOAD=$(CURDIR)/build/machine_clock.so \
	    $(BIN)/python -m pytest -n 3 --dist worksteal -m "not long" $(DATED) || exit 1; \
	done

test-lake: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long" --warehouse=lake tests/promises tests/load tests/report tests/test_*.py

# Without the lakehouse: the wheels of its extensions pin DuckDB to their own version.
test-newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -e '.[dev]' duckdb polars
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade dagster dagster-webserver # beyond our bound
	.venv-newest/bin/python -m pytest -n 2 --dist worksteal -m "not long"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/python tests/test_vocabulary.py
	@$(MAKE) --no-print-directory lint-page

# The report's JavaScript is checked by biome and the TypeScript compiler, both pinned in package-lock.json.
lint-page:
	@if $(MAKE) --no-print-directory --silent node_modules/.ready; then npm run --silent lint; \
	else echo "npm could not install biome and typescript: the report's JavaScript was not checked"; fi

node_modules/.ready: package.json package-lock.json
	command -v npm >/dev/null && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@

types: setup
	$(BIN)/mypy

check: lint types test

# A broken link, a page outside of the navigation, or a name without a description is an error.
docs: setup
	@$(BIN)/python -m docs.generator

release: setup
	@$(INSTALL) '.[release]'
	@.ci/release

# Every pin: constraints.txt, and with hashes deploy/requirements.txt.
renew: setup
	@$(INSTALL) '.[release]'
	@.ci/renew
	@echo "next: make check; deploy/pin-images.sh renews the base images where Docker runs"

bench: setup
	$(INSTALL) '.[bench]'
	$(BIN)/python -W ignore bench/targets.py
	$(BIN)/python -W ignore bench/cold_load.py
	$(BIN)/python -W ignore bench/budget.py
	$(BIN)/python -W ignore bench/night.py
	$(BIN)/python -W ignore bench/apps.py
	$(BIN)/python -W ignore bench/history.py
	$(BIN)/python -W ignore bench/memory.py
	$(BIN)/python -W ignore bench/ranges.py
	$(BIN)/python -W ignore bench/bookkeeping.py
	$(BIN)/python -W ignore bench/observations.py

clean:
	rm -rf .venv .venv-newest build dist node_modules pipelines/package_data .pytest_cache .mypy_cache .ruff_cache
