"""`voice load`: many callers at once, and a report of how they were served."""
