-- KEYS: waiting, task · ARGV: number, priority, payload
redis.call('HSET', KEYS[2], 'payload', ARGV[3], 'priority', ARGV[2], 'attempts', 0)
-- Higher priorities first, and the order of arrival within one.
return redis.call('ZADD', KEYS[1], -ARGV[2] * 2^40 + ARGV[1], ARGV[1])
