"""The monitoring page and account actions; the same in a terminal."""
