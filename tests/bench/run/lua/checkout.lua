-- KEYS: issue, process, held issues, deadlines, last token
-- ARGV: number, process, ttl; then the process's fields with their count in front; then the issue's fields
local held = redis.call('HMGET', KEYS[1], 'status', 'process', 'token')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if held[1] == 'processing' and held[2] ~= ARGV[2] then
  return redis.error_reply('HELD issue ' .. ARGV[1] .. ' is checked out by ' .. held[2] .. ' (token ' .. held[3] .. ')')
end
local count = tonumber(ARGV[4])
redis.call('HSET', KEYS[2], 'seen', string.format('%.0f', now), 'ttl', ARGV[3], unpack(ARGV, 5, 4 + count))
redis.call('ZADD', KEYS[4], string.format('%.0f', now + ARGV[3] * 1000), ARGV[2])
if held[1] == 'processing' then
  return tonumber(held[3])
end
local token = math.max((tonumber(redis.call('GET', KEYS[5])) or 0) + 1, now)
local text = string.format('%.0f', token)
redis.call('SET', KEYS[5], text)
redis.call('HSET', KEYS[1], 'status', 'processing', 'process', ARGV[2], 'token', text, 'started',
  string.format('%.0f', now), unpack(ARGV, 5 + count))
redis.call('HDEL', KEYS[1], 'ended', 'result', 'reason')
redis.call('SADD', KEYS[3], ARGV[1])
return token
