"""Totals, breakdowns and series: made of blocks that a process remembers, and of rows at the edges."""
