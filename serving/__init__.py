"""What the servers of all services have in common: proxy, exporter, collector and console."""
