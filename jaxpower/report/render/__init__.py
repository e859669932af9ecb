"""Shows a report: on a terminal, as a page, as CSV files."""
