"""Hints that several servers share: ready queue, bus and buckets in Redis or Valkey, all of which may be lost."""

from anchor.adapters.redis.hints import RedisHints

__all__ = ["RedisHints"]
