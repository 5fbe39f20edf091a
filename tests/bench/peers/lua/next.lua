-- KEYS: leases, task, waiting, last token · ARGV: number, token, worker, what stands in front of a task's number
local lease = redis.call('HGET', KEYS[1], ARGV[1])
if not lease or string.match(lease, '^%d+') ~= ARGV[2] then
  return redis.error_reply('STALE token ' .. ARGV[2])
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
local first = redis.call('ZPOPMIN', KEYS[3])
if not first[1] then return false end
local fresh = redis.call('INCR', KEYS[4])
redis.call('HSET', KEYS[1], first[1], fresh .. ' ' .. ARGV[3])
local task = ARGV[4] .. first[1]
redis.call('HINCRBY', task, 'attempts', 1)
return {tonumber(first[1]), fresh, redis.call('HGET', task, 'payload')}
