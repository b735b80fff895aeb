"""Histograms of data-quality monitoring: files that are followed, runs and lumisections in their names, what they hold."""
