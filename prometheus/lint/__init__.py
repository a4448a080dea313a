"""The PromQL linter: it knows which series exist, with which labels, and reads every query against that."""
