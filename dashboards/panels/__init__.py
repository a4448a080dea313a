"""Panels that dashboards share, by subject."""
