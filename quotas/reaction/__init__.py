"""What follows a change: derived limits, alerts, notices."""
