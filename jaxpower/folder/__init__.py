"""A run folder on disk: its records, its lock, its sweep, its timelines."""
