-- The orders of passes have come to an end: whoever bought or let a hold lapse makes room, whoever cancelled may go on.
-- KEYS   1 room: hash  2 act: zset sid -> expiry ms  3 pass: hash sid -> 'hard_ms|hold id or -'          (same {code} tag)
-- ARGV   1 now_ms  2.. sid, hold id or '-' for a pass without one or '' for any, 'end' or 'free', ... (at most 256 triples)
-- REPLY  {"ended", how many made room}
-- REPEAT the second call finds nothing
-- BOUND  O(triples * log act)
-- KEEPS  a pass is ended only by the order it belongs to
local now = tonumber(ARGV[1])
local idle = tonumber(redis.call('hget', KEYS[1], 'idle_ms') or '0')
local ended = 0
for i = 2, #ARGV, 3 do
  local sid = ARGV[i]
  local hard, hold = string.match(redis.call('hget', KEYS[3], sid) or '', '^(%d+)|(.*)$')
  if hard and (ARGV[i + 1] == '' or hold == ARGV[i + 1]) then
    local later = math.min(now + idle, tonumber(hard))
    if ARGV[i + 2] == 'free' and later > now then
      redis.call('hset', KEYS[3], sid, hard .. '|-')
      redis.call('zadd', KEYS[2], 'XX', later, sid)
    else
      redis.call('hdel', KEYS[3], sid)
      ended = ended + redis.call('zrem', KEYS[2], sid)
    end
  end
end
return { 'ended', ended }
