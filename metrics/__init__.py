"""The metric contract: every family, its labels and its help; the names that rules record."""
