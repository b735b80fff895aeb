"""Messages of third parties on Kafka."""
