"""Slow control: channel lists, readings that servers send by themselves, and the protocols they come over."""
