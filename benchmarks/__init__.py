"""What it costs: one command for each figure, as ratios of things measured in one run."""
