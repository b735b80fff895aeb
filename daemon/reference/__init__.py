"""What the documents say of plugins and their options, made from the code, so that it cannot go stale."""
