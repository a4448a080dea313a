"""What is measured: stores, gateways and processes, made for it."""
