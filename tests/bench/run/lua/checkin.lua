-- KEYS: issue, held issues, finished issues, number of ends, deadlines
-- ARGV: number, process, status
local held = redis.call('HMGET', KEYS[1], 'status', 'process', 'token')
if held[1] ~= 'processing' then
  return redis.error_reply('NOTHELD issue ' .. ARGV[1] .. ' is not checked out')
end
if held[2] ~= ARGV[2] then
  return redis.error_reply('HELD issue ' .. ARGV[1] .. ' is checked out by ' .. held[2] .. ' (token ' .. held[3] .. ')')
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'ended', string.format('%.0f', time[1] * 1000000 + time[2]))
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[4]), ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[5], ARGV[2])
end
return redis.status_reply('OK')
