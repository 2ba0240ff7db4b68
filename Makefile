PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test

demo: $(BIN)/installed
	$(BIN)/oppai demo

test: $(BIN)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

$(BIN)/installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@
