"""The windows: Grafana dashboards generated from the declared families."""
