"""Bringing dashboards into a running Grafana: what would change, and changing it."""
