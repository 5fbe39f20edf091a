-- Behind the seat. KEYS[2]: where the answer to the request is kept.
-- ARGV: the token; the channel; the answer; since when the caller heard every request, in µs; how many of this id it heard
-- since; for how many s the answer is kept. Publishes the answer unless there were that many since then, the one that is
-- kept where there is one, and answers how many times it did (0 or 1).
local channel, answer, since, heard, kept = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local times = redis.call('HGET', KEYS[2], 'times') or ''
local published = 0
for time in string.gmatch(times, '%d+') do
    if tonumber(time) >= since then published = published + 1 end
end
if published >= heard then return {0} end
answer = redis.call('HGET', KEYS[2], 'answer') or answer
-- Nothing there is to be answered with: what it was answered with is not kept any more.
if answer == '' then return {0} end
local now = redis.call('TIME')
times = times .. string.format(' %d%06d', now[1], now[2])
redis.call('HSET', KEYS[2], 'answer', answer, 'times', times)
redis.call('EXPIRE', KEYS[2], kept)
redis.call('PUBLISH', channel, answer)
return {1}
