"""A simulated experiment that talks real protocols, and the console that shows what the daemon says about it."""
