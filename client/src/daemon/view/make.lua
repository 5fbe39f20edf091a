-- Behind the seat. KEYS[2]: the book, a hash whose fields are what the view shows. ARGV, behind the token: steps, each a word
-- and what belongs to it; a list is its length and its elements. Each step writes only where something else is there, so
-- what is right already costs replicas and disks nothing. Answers the keys that hold something of another kind: they are
-- somebody else's, and stay as they are.
local book, at, foreign = KEYS[2], 2, {}

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
function step.hash()
    local key, fields = take(), takes()
    if not is(key, 'hash') then return end
    if not has(key, fields) then
        redis.call('DEL', key)
        call('HSET', key, fields)
    elseif #fields > 0 and redis.call('PTTL', key) >= 0 then
        redis.call('PERSIST', key)
    end
end

-- A hash of somebody whom the project does not know: it goes by itself.
function step.guest()
    local key, seconds, fields = take(), take(), takes()
    if not is(key, 'hash') then return end
    call('HSET', key, fields)
    redis.call('EXPIRE', key, seconds)
end

-- A set has this member, or has it not.
function step.member()
    local key, member, wanted = take(), take(), take()
    if is(key, 'set') then redis.call(wanted == '1' and 'SADD' or 'SREM', key, member) end
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

-- The view shows this.
function step.book()
    local entry = take()
    if redis.call('HEXISTS', book, entry) == 0 then redis.call('HSET', book, entry, '') end
end

-- The view shows this no more, if it did: its keys go, and it from these sets.
function step.drop()
    local entry, keys, member, sets = take(), takes(), take(), takes()
    if redis.call('HDEL', book, entry) == 0 then return end
    for _, key in ipairs(keys) do
        local kind = redis.call('TYPE', key).ok
        if kind == 'hash' or kind == 'string' and redis.call('GET', key) == 'alive' then redis.call('UNLINK', key) end
    end
    for _, set in ipairs(sets) do
        if is(set, 'set') then redis.call('SREM', set, member) end
    end
end

while at <= #ARGV do step[take()]() end
return foreign
