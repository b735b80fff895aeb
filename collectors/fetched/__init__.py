"""What is fetched over HTTP: connections and secrets, the text of Prometheus, JSON and its paths."""
