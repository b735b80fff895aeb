"""The notify stage: tells receivers of incidents, once each change that matters."""
