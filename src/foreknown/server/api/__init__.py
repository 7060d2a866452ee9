"""The interfaces: one file for each family of routes, with the form of its requests."""
