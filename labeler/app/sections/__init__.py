"""Parts of pages, a form or a table each: import, export, backup, adoption, filter."""
