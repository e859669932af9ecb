"""What a person gives a report beside records: assumptions, references."""
