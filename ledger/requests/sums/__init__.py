"""Requests added up: sums by hour in the database, and sums as numbers to work with."""
