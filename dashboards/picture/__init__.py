"""Drawing panels with matplotlib as Grafana would show them; only previews need it."""
