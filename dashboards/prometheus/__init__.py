"""Prometheus rules that watch the monitor itself."""
