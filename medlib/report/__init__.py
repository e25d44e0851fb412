"""Reports: the notebooks as a pipeline (`pipeline`), run into one folder (`run`), shown as one page (`page`)."""

from medlib.report.pipeline import Notebook, Parameter, format_index, list_notebooks, order_chain, read_notebook
from medlib.report.run import REPORT, REPORTS, RunFailed, resume_run, start_run

__all__ = ["REPORT", "REPORTS", "Notebook", "Parameter", "RunFailed", "format_index", "list_notebooks", "order_chain", "read_notebook",
           "resume_run", "start_run"]
