"""Runs a notebook whose first code cell has what may be set: `seed=1`.

  python examples/run_notebook.py examples/notebook.ipynb batch=16 seed=1

What it becomes is executed.ipynb in the current folder, that of the trial.
"""

import sys

import nbformat
from nbclient import NotebookClient

path, *assignments = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
cells = notebook.cells
first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
cells.insert(first + 1, nbformat.v4.new_code_cell("\n".join(assignments)))
try:
  NotebookClient(notebook, timeout=None).execute()
finally:
  nbformat.write(notebook, "executed.ipynb")
