"""Which account takes a request, and why another one does not."""
