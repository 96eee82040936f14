"""Export and import: the items of tables as lines of JSON, and back."""

from lift_dynamorm.transfer.export import ExportProgress, export_items
from lift_dynamorm.transfer.files import read_lines, write_file
from lift_dynamorm.transfer.load import ImportProgress, ImportStopped, LineError, import_items
from lift_dynamorm.transfer.owners import EVERY_TENANT, NotToldApart

__all__ = [
    "EVERY_TENANT",
    "ExportProgress",
    "ImportProgress",
    "ImportStopped",
    "LineError",
    "NotToldApart",
    "export_items",
    "import_items",
    "read_lines",
    "write_file",
]
