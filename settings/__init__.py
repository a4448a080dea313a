"""The configuration: one TOML file and six environment variables, read once into one frozen value."""
