"""What labels say about incidents: their order by attention, the chance that one is real, and whether that can be trusted now."""
