"""Back-tests: how many incidents there would have been on recorded data, at which budget of false alarms."""
