-- KEYS: where answers are kept. ARGV: for each, since when its caller heard every request, and how many of it since then.
-- Answers for each whether all of them were answered (1 or 0).
local answered = {}
for i, record in ipairs(KEYS) do
    answered[i] = published(record, ARGV[2 * i - 1]) >= tonumber(ARGV[2 * i]) and 1 or 0
end
return answered
