"""Hands what records say to other tools: texts, tables and files of theirs.

One file a format. Whoever can be given a text gets a text (`latex`, `paper`,
`bibtex`, `model_card`, `codecarbon`, `boamps`, `prometheus`); the others get
their own files, written by their own packages, which are imported where they
are used (`mlflow_runs`, `wandb_runs`, `tensorboard_events`, `optuna_study`,
`parquet`). None is named like its package, or it would stand in its way.

What is unknown is left out, and never 0; what is modelled is called estimated
wherever a format can hold a word.
"""


class ExportError(Exception):
  """What cannot be exported: one line says why, and how to fix it."""
