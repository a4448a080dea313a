"""One page for every alert and task, and the commands that the pages name."""
