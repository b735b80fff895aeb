"""Rows of tables: blocks of files, cells as numbers and times, what becomes of them."""
