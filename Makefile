# These targets install what they need into .venv; all they expect is Python 3.11 or newer and make.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint format clean

demo: .venv/demo
	$(BIN)/lookalike demo

# files as they come: in the order of their tests, those of few but long tests would be left to one process at the end
test: .venv/test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/test: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv lookalike-demo
