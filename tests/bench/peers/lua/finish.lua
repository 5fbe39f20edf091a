-- KEYS: leases, task · ARGV: number, token
local lease = redis.call('HGET', KEYS[1], ARGV[1])
if not lease or string.match(lease, '^%d+') ~= ARGV[2] then
  return redis.error_reply('STALE token ' .. ARGV[2])
end
redis.call('HDEL', KEYS[1], ARGV[1])
return redis.call('DEL', KEYS[2])
