"""Templates and policies from models: what other tools need to make the tables, and to let a program use them.

All of it is made of `TableSpec`s, without any I/O: ``cloudformation(specifications([User, Order]))``.
"""

from lift_dynamorm.emit.application import sam
from lift_dynamorm.emit.configuration import terraform
from lift_dynamorm.emit.policy import deploy_iam, iam, policy_size, size_note
from lift_dynamorm.emit.stack import cdk
from lift_dynamorm.emit.template import cloudformation
from lift_dynamorm.emit.text import as_json, as_yaml

__all__ = [
    "as_json",
    "as_yaml",
    "cdk",
    "cloudformation",
    "deploy_iam",
    "iam",
    "policy_size",
    "sam",
    "size_note",
    "terraform",
]
