"""A run as the user sees it, and how its story gets to the store."""
