"""SQL: the authority for incidents, labels, deliveries, stage state and what is still to be sent."""
