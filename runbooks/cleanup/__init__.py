"""Series clean-up: look, make sure that nothing comes back, delete, verify."""
