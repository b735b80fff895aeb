"""The pages' templates (Jinja2); everything that is put into them is escaped."""
