"""Reading model, usage and quota out of the bytes that pass."""
