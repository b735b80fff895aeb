"""Health of disks: what SMART attributes mean, and how disks are kept track of."""
