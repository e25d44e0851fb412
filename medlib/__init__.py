"""medlib: the thin package behind a Jupyter workbench for medical resource allocation.

Demand models and supply models fill tables; a linear program reads the tables and writes a plan; the report tells
how good the plan is and why. Each module has one job; the README draws how they fit together.
"""

__version__ = "0.1.0"
