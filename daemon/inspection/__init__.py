"""A look at a source: what its collector sees, as a table for a person or as JSON, without a bus and without a database."""
