"""What a gateway published -> the ledger's own values. Pure: the same bytes always give the same event."""
