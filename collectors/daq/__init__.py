"""Data acquisition: snapshots of its objects and states, and MIDAS' online database."""
