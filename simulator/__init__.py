"""A provider that is not there: an OpenAI-compatible upstream, live traffic, and history of known totals."""
