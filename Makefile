PYTHON ?= python3
BIN = .venv/bin
STARTED := $(shell date +%s)
PARALLEL = -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test docs test-colab

# The first results of all three packages, then the chapter's network, trained for what is
# left of four minutes; `oppai demo` trains it whole.
demo: $(BIN)/installed
	$(BIN)/python examples/first_results.py demo
	left=$$(( 210 - $$(date +%s) + $(STARTED) )); $(BIN)/oppai demo --output demo/training \
		--epochs 6 --seconds $$(( left > 0 ? left : 0 ))

test: $(BIN)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL)

# The documentation, in site/; a broken link or reference is an error.
docs: $(BIN)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Both sets of packages that Colab has, in environments of their own: half an hour.
test-colab: $(BIN)/installed
	$(BIN)/python tests/colab/run.py --pytest "$(PARALLEL)"

$(BIN)/installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

$(BIN)/installed-docs: $(BIN)/installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@
