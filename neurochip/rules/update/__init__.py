"""When and how weights change."""
