"""The exporter: reads the ledger, never writes, and tells Prometheus about accounts and quota."""
