"""The server: REST over study and store, for agents, programs and the web page."""
