"""Training by schedule, in a process of its own with low priority, so that watching never waits for it."""
