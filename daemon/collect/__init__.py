"""The collect stage: runs collectors on a schedule, judges each run and publishes what they yield."""
