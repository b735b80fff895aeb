"""Files that a Grafana reads at start: its data source, and where the dashboards are."""
