"""The version of code: a hash of all definitions that a function uses, and of the files that they read."""
