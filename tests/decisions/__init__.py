"""The modules that decide, measured by their pure tests alone: every branch, and mutants."""
