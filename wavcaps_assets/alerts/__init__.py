"""Messages to people: what happened, where, and the link to the run, each told once and never lost."""
