"""Processes that train: how they start, speak, are waited for, and end."""
