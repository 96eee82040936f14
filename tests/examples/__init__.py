"""The examples, as their users meet them: over HTTP, on Lambda, from the command line."""
