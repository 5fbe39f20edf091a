-- Behind the seat and `claim`. KEYS[2]: the book, a hash whose fields are what the view shows. ARGV, behind the token: steps,
-- each a word and what belongs to it; a list is its length and its elements. Each step writes only where something else is
-- there, so what is right already costs replicas and disks nothing. Answers the keys that hold something of another kind: they
-- are somebody else's, and stay as they are. Behind them and an empty word, the issues that somebody else claims: they stay as
-- they are, too, until it is known what becomes of them.
local book, at, foreign, claimed = KEYS[2], 2, {}, {}

local function take()
    at = at + 1
    return ARGV[at - 1]
end

local function takes()
    local list = {}
    for i = 1, tonumber(take()) do list[i] = take() end
    return list
end

local function is(key, kind)
    local found = redis.call('TYPE', key).ok
    if found == kind or found == 'none' then return true end
    foreign[#foreign + 1] = key
    return false
end

-- In pieces: a call takes some thousand words at most.
local function call(command, key, words)
    for first = 1, #words, 1000 do
        redis.call(command, key, unpack(words, first, math.min(first + 999, #words)))
    end
end

local function has(key, fields)
    local there, count = redis.call('HGETALL', key), #fields
    if #there ~= count then return false end
    local value = {}
    for i = 1, count, 2 do value[there[i]] = there[i + 1] end
    for i = 1, count, 2 do
        if value[fields[i]] ~= fields[i + 1] then return false end
    end
    return true
end

local step = {}

-- A hash has these fields and no others; without any, there is none.
local function write(key, fields)
    if not is(key, 'hash') then return end
    if not has(key, fields) then
        redis.call('DEL', key)
        call('HSET', key, fields)
    elseif #fields > 0 and redis.call('PTTL', key) >= 0 then
        redis.call('PERSIST', key)
    end
end

-- A set has this member, or has it not.
local function belongs(key, member, wanted)
    if is(key, 'set') then redis.call(wanted and 'SADD' or 'SREM', key, member) end
end

-- The view shows this, and that is to be remembered of it.
local function note(entry, value)
    if redis.call('HGET', book, entry) ~= value then redis.call('HSET', book, entry, value) end
end

-- Whether an issue is claimed by somebody other than who is to be shown (`-` is nobody) and whose claim is settled.
local function is_claimed(entry, issue, key, holder, settled)
    local process = redis.call('TYPE', key).ok == 'hash' and claim(book, entry, key)
    local open = process and '=' .. process ~= holder and '=' .. process ~= settled
    if open then claimed[#claimed + 1] = issue end
    return open
end

-- The set of issues that are processed has this one no more, unless it was not the view that added it: whoever did is about to
-- write the hash, or that is settled.
local function leave(set, issue, shown, settled)
    if settled ~= '-' or shown and shown ~= '-' then belongs(set, issue, false) end
end

function step.hash()
    write(take(), takes())
end

-- An issue as it is, in its hashes, its metadata's alone perhaps, and in the sets of those that are processed, and were.
function step.issue()
    local entry, issue, holder, settled = take(), take(), take(), take()
    local key, fields, more, metadata = take(), takes(), takes(), takes()
    local processing, processed, is_done = take(), take(), take() == '1'
    if is_claimed(entry, issue, key, holder, settled) then return end
    write(key, fields)
    for _, other in ipairs(more) do write(other, metadata) end
    if holder ~= '-' then
        belongs(processing, issue, true)
    else
        leave(processing, issue, redis.call('HGET', book, entry), settled)
    end
    belongs(processed, issue, is_done)
    note(entry, holder)
end

-- An issue is not shown any more, if it was.
function step.gone()
    local entry, issue, settled = take(), take(), take()
    local keys, processing, processed = takes(), take(), take()
    local shown = redis.call('HGET', book, entry)
    if not shown then
        -- It is somebody else's altogether, but for a member without a hash.
        local is_hash = redis.call('TYPE', keys[1]).ok == 'hash'
        if not (is_hash and claim(book, entry, keys[1])) then leave(processing, issue, shown, settled) end
        return
    end
    if is_claimed(entry, issue, keys[1], '-', settled) then return end
    leave(processing, issue, shown, settled)
    belongs(processed, issue, false)
    redis.call('HDEL', book, entry)
    for _, key in ipairs(keys) do
        if redis.call('TYPE', key).ok == 'hash' then redis.call('UNLINK', key) end
    end
end

-- A hash of somebody whom the project does not know: it goes by itself.
function step.guest()
    local key, seconds, fields = take(), take(), takes()
    if not is(key, 'hash') then return end
    call('HSET', key, fields)
    redis.call('EXPIRE', key, seconds)
end

function step.member()
    belongs(take(), take(), take() == '1')
end

-- Somebody is alive until then (ms), or not at all (0).
function step.beat()
    local key, till = take(), take()
    if not is(key, 'string') then return end
    if till == '0' then
        redis.call('DEL', key)
    elseif redis.call('GET', key) ~= 'alive' or redis.call('PEXPIRETIME', key) ~= tonumber(till) then
        redis.call('SET', key, 'alive', 'PXAT', till)
    end
end

-- A list has these elements, in this order.
function step.list()
    local key, elements = take(), takes()
    if not is(key, 'list') then return end
    local there = redis.call('LRANGE', key, 0, -1)
    local same = #there == #elements
    for i = 1, #elements do same = same and there[i] == elements[i] end
    if not same then
        redis.call('DEL', key)
        call('RPUSH', key, elements)
    end
end

function step.book()
    note(take(), '')
end

-- The view shows this no more, if it did: its keys go, and it from these sets.
function step.drop()
    local entry, keys, member, sets = take(), takes(), take(), takes()
    if redis.call('HDEL', book, entry) == 0 then return end
    for _, key in ipairs(keys) do
        local kind = redis.call('TYPE', key).ok
        if kind == 'hash' or kind == 'string' and redis.call('GET', key) == 'alive' then redis.call('UNLINK', key) end
    end
    for _, set in ipairs(sets) do belongs(set, member, false) end
end

while at <= #ARGV do step[take()]() end
foreign[#foreign + 1] = ''
for _, issue in ipairs(claimed) do foreign[#foreign + 1] = issue end
return foreign
