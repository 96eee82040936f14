"""Hold every request of a process that a test starts against botocore's model; Python imports this by itself."""

from lift_dynamorm.transport.retry import RetryTransport
from tests import wire

RetryTransport.send = wire.checked(RetryTransport.send)  # type: ignore[method-assign]  # for this process only
