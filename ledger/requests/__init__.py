"""Request rows: written, summed, queried."""
