"""Models of windows of consecutive rows of a group of gauges."""
