"""Changes of a table as they happen, from DynamoDB Streams."""

from lift_dynamorm.streams.change import Change, Decoder
from lift_dynamorm.streams.shards import Position, Shards
from lift_dynamorm.streams.stream import Stream, SyncStream

__all__ = ["Change", "Decoder", "Position", "Shards", "Stream", "SyncStream"]
