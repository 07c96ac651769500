"""Everything about one compiled model as plain data, and the page that shows it."""
