-- Behind the seat. KEYS[2]: where the answer to the request is kept. Runs the command unless it was answered.
if redis.call('EXISTS', KEYS[2]) == 1 then
    return redis.error_reply('ANSWERED this request was answered')
end
return redis.pcall(unpack(ARGV, 2))
