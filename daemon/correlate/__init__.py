"""The correlate stage: folds findings into incidents with a cause."""
