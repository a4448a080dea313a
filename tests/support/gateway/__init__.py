"""A simulated CLIProxyAPI: its usage queue by RESP and HTTP, and what it forgets."""
