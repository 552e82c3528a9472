"""Access tokens and projects: where they come from, and how one of each serves every process on the host."""
