"""Detectors: one file a method; scores, calibration and evidence, and nothing of where the data came from."""
