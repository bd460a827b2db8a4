-- Somebody inside is active: the pass ends later, but never after its hard end.
-- KEYS   1 room: hash  2 act: zset sid -> expiry ms  3 pass: hash sid -> 'hard_ms|hold id or -'          (same {code} tag)
-- ARGV   1 now_ms  2 sid
-- REPLY  {"renewed", expiry ms} | {"ended"} | {"unready"}
-- REPEAT harmless
-- BOUND  O(log act)
-- KEEPS  an ended pass stays ended; a pass that holds places is not shortened
local idle = tonumber(redis.call('hget', KEYS[1], 'idle_ms') or '0')
if idle == 0 then return { 'unready' } end
local now = tonumber(ARGV[1])
local expiry = tonumber(redis.call('zscore', KEYS[2], ARGV[2]) or '0')
if expiry <= now then return { 'ended' } end
local hard = tonumber(string.match(redis.call('hget', KEYS[3], ARGV[2]) or '', '^(%d+)|') or '0')
local later = math.min(now + idle, hard)
if later > expiry then
  redis.call('zadd', KEYS[2], 'XX', later, ARGV[2])
  expiry = later
end
return { 'renewed', expiry }
