"""Style, script and icon of the page; served as they are, with nothing from another host."""
