-- KEYS[1]: the project that is the seat. ARGV[1]: the token by which the caller sits there.
do
    local lease = redis.call('POPPO.GET', KEYS[1], 1) or {}
    local has = {}
    for i = 1, #lease, 2 do has[lease[i]] = lease[i + 1] end
    if has.status ~= 'processing' or has.token ~= tonumber(ARGV[1]) then
        return redis.error_reply('UNSEATED another daemon serves this project by now')
    end
end
