-- Let somebody in who has been called.
-- KEYS   1 room: hash  2 serve: hash lane -> serving rank  3 claimed: bitmap by rank  4 act: zset sid -> expiry ms
--        5 pass: hash sid -> 'hard_ms|hold id or -'  6 late: zset lane:rank -> rank
--        7 called: hash lane:rank -> when a late one was called                                       (same {code} tag)
-- ARGV   1 run  2 now_ms  3 lane  4 rank  5 sid  6 1 if within the time to claim  7 claim window ms for the late
-- REPLY  {"admitted", expiry ms, hard end ms, 1 for the first time} | {"ended"}: this rank has been inside and is not any more
--        | {"not_yet", serving} | {"late", how many are before it} | {"full", how many are before it}: called, but
--        there is no room; first in the lane of the late | {"closed", phase} | {"other_run", run} | {"unready"}
-- REPEAT an admitted one is admitted again, with the same ends
-- BOUND  O(log late + log act)
-- KEEPS  act <= capacity + slack; a rank is let in once
local room = redis.call('hmget', KEYS[1], 'phase', 'run', 'capacity', 'slack', 'idle_ms', 'hard_ms')
local serving = tonumber(redis.call('hget', KEYS[2], ARGV[3]) or '-1')
if not room[1] or not room[2] or not room[3] or not room[5] or serving < 0 then return { 'unready' } end
if room[2] ~= ARGV[1] then return { 'other_run', tonumber(room[2]) } end
local now, rank, sid = tonumber(ARGV[2]), tonumber(ARGV[4]), ARGV[5]
local who = ARGV[3] .. ':' .. ARGV[4]

local expiry = tonumber(redis.call('zscore', KEYS[4], sid) or '0')
if expiry > now then
  local hard = string.match(redis.call('hget', KEYS[5], sid) or '', '^(%d+)|')
  return { 'admitted', expiry, tonumber(hard or expiry), 0 }
end
local phase = room[1]
if phase ~= 'open' and phase ~= 'paused' and phase ~= 'drain' then return { 'closed', phase } end
if redis.call('getbit', KEYS[3], rank) == 1 then return { 'ended' } end
if rank > serving then return { 'not_yet', serving } end

local called = tonumber(redis.call('hget', KEYS[7], who) or '0')
local in_time = ARGV[6] == '1' or (called > 0 and now - called <= tonumber(ARGV[7]))
local full = redis.call('zcard', KEYS[4]) >= tonumber(room[3]) + tonumber(room[4])
if not in_time or full then
  if redis.call('zcard', KEYS[6]) < 200000 then redis.call('zadd', KEYS[6], 'NX', rank, who) end
  redis.call('hdel', KEYS[7], who)
  return { in_time and 'full' or 'late', redis.call('zrank', KEYS[6], who) or 0 }
end
local hard = now + tonumber(room[6])
expiry = math.min(now + tonumber(room[5]), hard)
redis.call('setbit', KEYS[3], rank, 1)
redis.call('zadd', KEYS[4], expiry, sid)
redis.call('hset', KEYS[5], sid, string.format('%.0f|-', hard))
redis.call('zrem', KEYS[6], who)
redis.call('hdel', KEYS[7], who)
return { 'admitted', expiry, hard, 1 }
