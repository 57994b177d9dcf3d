"""What the user says: strict parsers for the front doors."""
