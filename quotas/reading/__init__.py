"""What people see of usage: the sidebar, the Usage page, roll-ups, reconciliation."""
