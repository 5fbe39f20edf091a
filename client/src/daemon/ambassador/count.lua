-- How many answers to a request were published since then (µs), by what is kept of it.
local function published(record, since)
    local count = 0
    for time in string.gmatch(redis.call('HGET', record, 'times') or '', '%d+') do
        if tonumber(time) >= tonumber(since) then count = count + 1 end
    end
    return count
end
