"""What consumes each finished request: the ledger writer, the metrics, the log line."""
