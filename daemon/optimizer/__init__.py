"""Advice on a batch system, from simulating what would happen: workloads, policies, the simulator, and what to drain or reorder."""
