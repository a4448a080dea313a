"""A simulated provider: an OpenAI-compatible server whose every answer is scripted."""
