"""One verb a module: what each needs of DynamoDB, written once for async and blocking transports."""
