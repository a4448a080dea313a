"""The judge of the simulated fleet: what each side's log says of routing."""
