"""Collectors: one file a source; each knows a protocol and nothing of what comes after it."""
