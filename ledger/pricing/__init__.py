"""Prices and what a request costs."""
