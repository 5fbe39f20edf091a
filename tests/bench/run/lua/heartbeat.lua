-- KEYS: process, held issues, deadlines
-- ARGV: process
local ttl = redis.call('HGET', KEYS[1], 'ttl')
if not ttl then
  return redis.error_reply('NOPROC process ' .. ARGV[1] .. ' is not known here: stop its work')
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('HSET', KEYS[1], 'seen', string.format('%.0f', now))
redis.call('ZADD', KEYS[3], string.format('%.0f', now + ttl * 1000), ARGV[1])
return {'ttl', tonumber(ttl), 'issues', redis.call('SCARD', KEYS[2])}
