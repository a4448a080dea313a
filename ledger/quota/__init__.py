"""Quota arithmetic: windows, cycles, estimates."""
