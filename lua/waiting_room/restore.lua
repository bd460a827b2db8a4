-- A pass that was good before Redis lost it is good again.
-- KEYS   1 room: hash  2 act: zset sid -> expiry ms  3 pass: hash sid -> 'hard_ms|hold id or -'
--        4 claimed: bitmap by rank                                                                     (same {code} tag)
-- ARGV   1 run  2 now_ms  3 sid  4 rank  5 hard end ms  6 epoch of the pass
-- REPLY  {"restored", expiry ms} | {"full"} | {"current"}: nothing was lost since the pass was given | {"unready"}
-- REPEAT harmless
-- BOUND  O(log act)
-- KEEPS  act <= capacity + slack; restored counts who came back in this epoch
local room = redis.call('hmget', KEYS[1], 'run', 'epoch', 'capacity', 'slack', 'idle_ms')
if not room[1] or not room[5] then return { 'unready' } end
local now, hard = tonumber(ARGV[2]), tonumber(ARGV[5])
if room[1] ~= ARGV[1] or tonumber(room[2]) <= tonumber(ARGV[6]) or hard <= now then return { 'current' } end
if redis.call('getbit', KEYS[4], ARGV[4]) == 1 then return { 'current' } end
if redis.call('zcard', KEYS[2]) >= tonumber(room[3]) + tonumber(room[4]) then return { 'full' } end
local expiry = math.min(now + tonumber(room[5]), hard)
redis.call('setbit', KEYS[4], ARGV[4], 1)
redis.call('zadd', KEYS[2], expiry, ARGV[3])
redis.call('hset', KEYS[3], ARGV[3], ARGV[5] .. '|-')
redis.call('hincrby', KEYS[1], 'restored', 1)
return { 'restored', expiry }
