"""Dashboards, alerting rules and runbooks, installed with the daemon."""
