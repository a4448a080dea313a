"""Reading stores in short statements, ours or somebody else's, without leaving a trace."""
