"""``python -m lift_dynamorm.cli``."""

from lift_dynamorm.cli import main

main()
