"""The formats of an exported dataset, a module each."""
