"""The shapes of the provider's answers: one module for each API, pure functions from a call to bytes."""
