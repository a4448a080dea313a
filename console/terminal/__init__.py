"""The ledger in a terminal: once, in a line, or on a screen that follows."""
