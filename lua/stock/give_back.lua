-- Undo a take that Postgres does not know and never will: it was refused, never sent, or found stale by the audit.
-- KEYS   as take has them: 1 stock: hash  2 flight: hash  3 people: hash  4 room: hash  5 act: zset sid -> expiry ms
--        6 pass: hash sid -> 'hard_ms|hold id or -'                                                (same {code} tag)
-- ARGV   1 hold_id  2 at_ms the take must carry, or '' for any
-- REPLY  {"given"} | {"gone"}: not in flight, or another take by now | {"unready"}
-- REPEAT the second call finds nothing in flight
-- BOUND  O(stocks of the order)
-- KEEPS  free + in flight is unchanged; a pass whose take is undone may take again, and lives no longer than whoever is
--        active at the instant of the take
local record = redis.call('hget', KEYS[2], ARGV[1])
if not record then return { 'gone' } end
local at_ms, person, places, sid, taken = string.match(record, '^(%d+)|%w+|([%w-]+)|(%d+)|([%w-]+)|(.*)$')
if not at_ms or (ARGV[2] ~= '' and ARGV[2] ~= at_ms) then return { 'gone' } end
if redis.call('hexists', KEYS[1], 'epoch') == 0 then return { 'unready' } end
for stock, quantity in string.gmatch(taken, '(%d+):(%d+)') do
  redis.call('hincrby', KEYS[1], stock, quantity)
end
if person ~= '-' then
  -- A difference: '-0' and -0 are no integers to Redis.
  if redis.call('hincrby', KEYS[3], 'u:' .. person, 0 - places) <= 0 then redis.call('hdel', KEYS[3], 'u:' .. person) end
  if redis.call('hincrby', KEYS[3], 'o:' .. person, -1) <= 0 then redis.call('hdel', KEYS[3], 'o:' .. person) end
end
if sid ~= '-' then
  local hard, held = string.match(redis.call('hget', KEYS[6], sid) or '', '^(%d+)|(.*)$')
  if hard and held == ARGV[1] then
    redis.call('hset', KEYS[6], sid, hard .. '|-')
    local idle = tonumber(redis.call('hget', KEYS[4], 'idle_ms') or '0')
    if idle > 0 then redis.call('zadd', KEYS[5], 'XX', math.min(tonumber(at_ms) + idle, tonumber(hard)), sid) end
  end
end
redis.call('hdel', KEYS[2], ARGV[1])
return { 'given' }
