"""The exporter: reads the ledger, never writes, and exposes accounts and quota as metrics."""
