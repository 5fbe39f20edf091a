-- Who works on an issue by what somebody else wrote into its hash: none where the view shows so by itself, or showed it last. The
-- book has who was shown as its holder, behind `=`; `-` where nobody was. Where it knows nothing, the hash's mark tells.
local function claim(book, entry, key)
    local word = redis.call('HMGET', key, 'status', 'processId', 'checkedOutBy')
    local process = word[2]
    if word[1] ~= 'processing' or not process or process == '' then return nil end
    local shown = redis.call('HGET', book, entry) or ''
    if shown == '' and word[3] == 'poppo' or shown == '=' .. process then return nil end
    return process
end
