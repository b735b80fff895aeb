"""The agent on a node: collects, judges with rules and cheap detectors, and loses nothing while the broker is away."""
