"""The message bus between the stages: one contract (bus.py), in memory for one process, Apache Kafka for many."""
