"""Configurations that run."""
