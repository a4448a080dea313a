"""Keeping the ledger: copies of it, its sums checked, its size, what is forgotten, and what is handed on."""
