# Each target sets medlib up where needed, then runs. Choose: make report PYTHON=python3.12 ARGS="--help"
PYTHON ?= python3
.PHONY: report test trust lab what-if docs bench audit
report: ; @$(PYTHON) bootstrap.py report $(ARGS)
test: ; @$(PYTHON) bootstrap.py test $(ARGS)
trust: ; @$(PYTHON) bootstrap.py trust $(ARGS)
lab: ; @$(PYTHON) bootstrap.py lab $(ARGS)
what-if: ; @$(PYTHON) bootstrap.py what-if $(ARGS)
docs: ; @$(PYTHON) bootstrap.py docs $(ARGS)
bench: ; @$(PYTHON) bootstrap.py bench $(ARGS)
audit: ; @$(PYTHON) bootstrap.py audit $(ARGS)
