-- KEYS: waiting, leases, last token · ARGV: worker, what stands in front of a task's number
local first = redis.call('ZPOPMIN', KEYS[1])
if not first[1] then return false end
local token = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[2], first[1], token .. ' ' .. ARGV[1])
local task = ARGV[2] .. first[1]
redis.call('HINCRBY', task, 'attempts', 1)
return {tonumber(first[1]), token, redis.call('HGET', task, 'payload')}
