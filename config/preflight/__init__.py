"""Doctor, smoke and support report of the whole installation: every floor's part, composed."""
