-- Behind the seat. KEYS[2]: where the answer to the request is kept.
-- ARGV: the token; the channel; the answer; since when the caller heard every request, in µs; how many of this one it heard
-- since; for how many s the answer is kept. Publishes the answer unless there were that many since then, the one that is
-- kept where there is one, and answers how many times it did (0 or 1).
local record, channel, answer, kept = KEYS[2], ARGV[2], ARGV[3], ARGV[6]
if published(record, ARGV[4]) >= tonumber(ARGV[5]) then return {0} end
answer = redis.call('HGET', record, 'answer') or answer
-- Nothing there is to be answered with: what it was answered with is not kept any more.
if answer == '' then return {0} end
local now = redis.call('TIME')
local times = (redis.call('HGET', record, 'times') or '') .. string.format(' %d%06d', now[1], now[2])
-- At maxmemory that is refused. An answer that cannot be kept is better than none.
redis.pcall('HSET', record, 'answer', answer, 'times', times)
redis.call('EXPIRE', record, kept)
redis.call('PUBLISH', channel, answer)
return {1}
