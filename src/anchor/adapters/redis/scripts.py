"""What Redis does in one step, as Lua. Queues hold falling priority and rising id, in 8 + 16 hex digits."""

import hashlib

MEMBER_LENGTH = 24
TAKEN_LENGTH = MEMBER_LENGTH + 4
BATCH_MAX = 250
"""Hints in one run of a script: while it runs Redis does nothing else."""

FILE = """
-- KEYS: names of shapes, queue of this shape; ARGV: shape, capacity, members one after the other
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then return 0 end
local pairs_ = {}
for at = 1, #ARGV[3], 24 do
  pairs_[#pairs_ + 1] = 0
  pairs_[#pairs_ + 1] = string.sub(ARGV[3], at, at + 23)
end
redis.call('SADD', KEYS[1], ARGV[1])
return redis.call('ZADD', KEYS[2], 'NX', unpack(pairs_))
"""

REST = """
-- KEYS: hints kept apart; ARGV: capacity, then the time and the member followed by its shape, of each
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
return redis.call('ZADD', KEYS[1], 'NX', unpack(ARGV, 2))
"""

LOOK = """
-- KEYS: names of shapes, hints kept apart; ARGV: now, how many to file, what a queue's key begins with
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
  local shape = string.sub(member, 25)
  redis.call('ZADD', ARGV[3] .. shape, 'NX', 0, string.sub(member, 1, 24))
  redis.call('SADD', KEYS[1], shape)
end
if #due > 0 then redis.call('ZREMRANGEBYRANK', KEYS[2], 0, #due - 1) end
return {#due, redis.call('SMEMBERS', KEYS[1])}
"""

TAKE = """
-- KEYS: names of shapes, then the queue of each shape; ARGV: limit, then the shapes. The answer: the members taken,
-- best first, each with the place of its shape in 4 hex digits, one after the other.
local limit, count = tonumber(ARGV[1]), #KEYS - 1
local chunk = math.ceil(limit / count)
local seen, taken, heads, answer = {}, {}, {}, {}
local function head_of(i)
  local at = taken[i] % chunk
  if at == 0 then seen[i] = redis.call('ZRANGE', KEYS[i + 1], taken[i], taken[i] + chunk - 1) end
  return seen[i][at + 1]
end
for i = 1, count do
  taken[i] = 0
  local member = head_of(i)
  if member then heads[#heads + 1] = {member, i} else redis.call('SREM', KEYS[1], ARGV[i + 1]) end
end
table.sort(heads, function(a, b) return a[1] < b[1] end)
while #heads > 0 and #answer < limit do
  local best = heads[1]
  local i = best[2]
  answer[#answer + 1] = best[1] .. string.format('%04x', i - 1)
  taken[i] = taken[i] + 1
  best[1] = head_of(i)
  if best[1] then
    local place = 1
    while heads[place + 1] and heads[place + 1][1] < best[1] do
      heads[place] = heads[place + 1]
      place = place + 1
    end
    heads[place] = best
  else
    table.remove(heads, 1)
    redis.call('SREM', KEYS[1], ARGV[i + 1])
  end
end
for i = 1, count do
  if taken[i] > 0 then redis.call('ZREMRANGEBYRANK', KEYS[i + 1], 0, taken[i] - 1) end
end
return table.concat(answer)
"""

COUNT = """
-- KEYS: names of shapes; ARGV: what a queue's key begins with
local sum = 0
for _, shape in ipairs(redis.call('SMEMBERS', KEYS[1])) do sum = sum + redis.call('ZCARD', ARGV[1] .. shape) end
return sum
"""

DRAW = """
-- KEYS: a token bucket; ARGV: rate, burst, cost. The answer: seconds to wait, 0 where the tokens were taken.
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if kept[1] then tokens = math.min(burst, kept[1] + math.max(0, now - kept[2]) * rate) end
if tokens + 0.000001 < cost then return string.format('%.6f', (cost - tokens) / rate) end
tokens = math.max(0, tokens - cost)
redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
return '0'
"""


def _sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


SOURCES = {_sha(script): script for script in (FILE, REST, LOOK, TAKE, COUNT, DRAW)}
"""By the name that EVALSHA knows them by."""


def run(script: str, keys: list[str], *args: str | int | float) -> tuple[str | int | float, ...]:
    """The command that runs a script; a Redis that does not know it is sent the source."""
    return ("EVALSHA", _NAMES[script], len(keys), *keys, *args)


_NAMES = {script: name for name, script in SOURCES.items()}
