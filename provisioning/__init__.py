"""The files that Grafana reads at its start: the datasource, and where its dashboards lie."""
