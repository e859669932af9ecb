"""The meter: sources of readings, windows of energy, honest bounds."""
