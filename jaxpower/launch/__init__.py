"""Trials as tasks of a cluster: each task is one call of `run_trial`."""
