-- KEYS: deadlines
-- ARGV: at most so many, prefixes of the keys of issues, processes and held issues
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
local rows, most = {}, tonumber(ARGV[1])
local due = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
for at = 1, #due, 2 do
  local process = redis.call('HMGET', ARGV[3] .. due[at], 'pid', 'host', 'seen')
  for _, issue in ipairs(redis.call('SORT', ARGV[4] .. due[at])) do
    if #rows == most then
      return rows
    end
    local fields = redis.call('HMGET', ARGV[2] .. issue, 'token', 'type')
    rows[#rows + 1] = {'issue', issue, 'token', fields[1], 'process', due[at], 'pid', process[1], 'host', process[2],
      'type', fields[2], 'reason', 'expired', 'since', due[at + 1], 'lastSeen', process[3]}
  end
end
return rows
