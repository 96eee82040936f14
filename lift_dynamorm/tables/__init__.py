"""Tables from models."""

from lift_dynamorm.tables.create import create_tables, table_requests

__all__ = ["create_tables", "table_requests"]
