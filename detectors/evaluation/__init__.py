"""Measuring detectors on public labelled data: suites, metrics and what runs them; see docs/tutorial/evaluate.md."""
