# make run: set up, print a page, show it.  make test: set up, pass the tests.

PYTHON ?= python3
VENV := .venv
FUZZ_VENV := .venv-fuzz
BIN := $(VENV)/bin
# Tests wait for servers of their own half of their time: one more at once than there are cores, up to four.
AT_ONCE = -n $$(($$(nproc) + 1)) --maxprocesses 4 --dist loadfile
# They start hundreds of processes, each of which would compile all of Printpost where an image forbids to keep that.
unit test: export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test lint unit interop bench soak matrix fuzz mutants lock clean help

help:
	@echo "make run      set everything up, print a page of a real PDF, show where it lies and how to see the web page"
	@echo "make test     set everything up and run the tests"
	@echo "make unit     the fast tests alone; make lint: style and types"
	@echo "make interop  the tests against foreign servers (CUPS, Postfix, p910nd, socat) and in a container"
	@echo "make bench    speeds, beside Postfix, munpack and CUPS (BENCH=--quick: in two minutes)"
	@echo "make soak     an hour of jobs and random faults (SOAK='--seconds 60'); make matrix: what becomes of a job at each fault"
	@echo "make fuzz     every parser fed by a fuzzer (SECONDS=60 each); make mutants: every defence switched off must be missed"
	@echo "make lock     pin the dependencies anew"
	@echo "make clean    remove the environment and what was made"
	@echo "README.md takes you on a walk from here."

run: $(VENV)/run
	@.ci/packages run
	@$(BIN)/printpost demo --once --folder out/demo

test: $(VENV)/dev
	@.ci/packages test
	$(MAKE) --no-print-directory lint
	$(BIN)/pytest -q $(AT_ONCE) -m "not interop" $(PYTEST)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/dev
	$(BIN)/pytest -q $(AT_ONCE) -m "not slow and not crash and not interop" $(PYTEST)

interop: $(VENV)/dev
	@.ci/packages interop
	$(BIN)/pytest -q -m interop $(PYTEST)

bench: $(VENV)/dev
	@.ci/packages interop
	$(BIN)/python -m tests.benchmarks $(BENCH)

soak: $(VENV)/dev
	$(BIN)/python -m tests.soak $(SOAK)

matrix: $(VENV)/dev
	@.ci/packages test
	$(BIN)/python -m tests.matrix $(MATRIX)

SECONDS ?= 60
fuzz: $(FUZZ_VENV)/done
	nice $(FUZZ_VENV)/bin/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

mutants: $(VENV)/dev
	@.ci/packages test
	nice $(BIN)/python -m tests.mutants $(MUTANTS)

# The set-up is done anew only when the pinned dependencies change.
$(VENV)/run: requirements.lock pyproject.toml
	@.ci/packages run
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned Python packages into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.lock
	@echo "Installing the pinned tools of the tests into $(VENV)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# The fuzzer instruments what it imports and is of no use elsewhere.
$(FUZZ_VENV)/done: requirements-fuzz.lock
	@[ -x $(FUZZ_VENV)/bin/python ] || $(PYTHON) -m venv $(FUZZ_VENV)
	@echo "Installing the pinned fuzzer into $(FUZZ_VENV)"
	@$(FUZZ_VENV)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-fuzz.lock
	@touch $@

COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe
lock: $(VENV)/dev
	$(COMPILE) --extra build -o requirements.lock pyproject.toml
	$(COMPILE) --extra build --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(COMPILE) --extra build --extra fuzz -c requirements.lock -o requirements-fuzz.lock pyproject.toml

clean:
	rm -rf $(VENV) $(FUZZ_VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
