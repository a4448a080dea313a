"""Starting what belongs together: programs that come up, run and end as one."""
