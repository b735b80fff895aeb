"""The daemon: everything between a collector's frame and the person who reads an incident."""
