# `make demo` and `make test` install what they need into .venv; nothing but Python 3.11+ and make is expected.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test clean

demo: .venv/demo
	$(BIN)/lookalike demo

test: .venv/test
	$(BIN)/python -m pytest

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
