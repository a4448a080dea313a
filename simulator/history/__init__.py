"""Invented history of known totals: requests, quota, series."""
