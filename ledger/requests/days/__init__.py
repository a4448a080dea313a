"""Finished UTC days as arrays of numbers."""
