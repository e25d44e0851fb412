# Each target sets medlib up where needed, then runs. Choose: make report PYTHON=python3.12 ARGS="--help"
PYTHON ?= python3
.PHONY: report test lab bench
report: ; @$(PYTHON) bootstrap.py report $(ARGS)
test: ; @$(PYTHON) bootstrap.py test $(ARGS)
lab: ; @$(PYTHON) bootstrap.py lab $(ARGS)
bench: ; @$(PYTHON) bootstrap.py bench $(ARGS)
