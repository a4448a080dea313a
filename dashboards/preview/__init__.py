"""Drawing a dashboard from a real Prometheus; only previews and tests need it."""
