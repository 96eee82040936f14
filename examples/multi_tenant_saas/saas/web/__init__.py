"""The pages: made on the server, without a line of JavaScript."""
