"""The suites: every module here has one, called `SUITE`."""
