"""What each page shows, as plain data: pure functions of what is known, for the templates."""
