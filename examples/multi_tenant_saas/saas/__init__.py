"""Projects and tasks for many tenants, on one DynamoDB table."""
