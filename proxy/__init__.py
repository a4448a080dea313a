"""The proxy: bytes pass through untouched; beside them, every request is metered."""
