"""The foundation: what is stored, what it costs, what a quota is worth."""
