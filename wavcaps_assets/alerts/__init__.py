"""Messages to people: what happened, where, and the link to the run, each sent once and never lost."""
