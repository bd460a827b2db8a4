-- Take the places of one order from every stock it needs, or from none, and remember the take as in flight.
-- KEYS   1 stock: hash stock id -> free, 'epoch' -> int   2 flight: hash hold id -> record
--        3 people: hash 'u:'person -> places, 'o:'person -> open holds   4 room: hash   5 act: zset sid -> expiry ms
--        6 pass: hash sid -> 'hard_ms|hold id or -'                                       (same {code} tag)
-- ARGV   1 hold_id  2 now_ms  3 fingerprint  4 person  5 places counted for the person  6 places allowed (0: no limit)
--        7 open holds allowed (0: not judged)  8 sid of the pass, '' without one, '*' when none is asked for
--        9 how long the hold may last, grace included [ms]  10.. stock id, quantity, stock id, quantity, ...
--        (at most 32 pairs)
-- REPLY  {"taken", epoch, at_ms} | {"repeat", epoch, at_ms} | {"other_body"} | {"sold_out", stock_id, free}
--        | {"person_limit", places} | {"open_holds", count} | {"pass_required"}: a room is active | {"pass_ended"}
--        | {"pass_in_use"}: it holds places of another order | {"unready"}: a missing stock, epoch or room is never zero
-- REPEAT same hold_id and fingerprint while in flight: nothing is taken again, the first instant is answered
-- BOUND  O(stocks of the order + log act)
-- KEEPS  free >= 0; free + in flight + held + sold = offered; a person's places <= allowed; one open hold a pass
local hold_id, now_ms, fingerprint, person = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local places, allowed, open_max, sid = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local epoch = redis.call('hget', KEYS[1], 'epoch')
if not epoch then return { 'unready' } end

local record = redis.call('hget', KEYS[2], hold_id)
if record then
  local at_ms, known = string.match(record, '^(%d+)|(%w+)|')
  if known ~= fingerprint then return { 'other_body' } end
  return { 'repeat', tonumber(epoch), tonumber(at_ms) }
end

local phase = redis.call('hget', KEYS[4], 'phase')
if not phase then return { 'unready' } end
local gated = sid ~= '*' and (phase == 'prequeue' or phase == 'frozen' or phase == 'open' or phase == 'paused'
  or phase == 'drain' or phase == 'stopped')
local hard, score, held
if gated then
  if sid == '' then return { 'pass_required' } end
  score = tonumber(redis.call('zscore', KEYS[5], sid) or '0')
  if score <= tonumber(now_ms) then return { 'pass_ended' } end
  hard, held = string.match(redis.call('hget', KEYS[6], sid) or '', '^(%d+)|(.*)$')
  if not hard then return { 'pass_ended' } end
  if held ~= '-' and held ~= hold_id then return { 'pass_in_use' } end
end

local ids = {}
for i = 10, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local free = redis.call('hmget', KEYS[1], unpack(ids))
for i = 1, #ids do
  if not free[i] then return { 'unready' } end
end
for i = 1, #ids do
  if tonumber(free[i]) < tonumber(ARGV[9 + 2 * i]) then return { 'sold_out', tonumber(ids[i]), tonumber(free[i]) } end
end

local counted = allowed > 0 or open_max > 0
if counted then
  local known = redis.call('hmget', KEYS[3], 'u:' .. person, 'o:' .. person)
  local used, open = tonumber(known[1] or '0'), tonumber(known[2] or '0')
  if allowed > 0 and used + places > allowed then return { 'person_limit', used } end
  if open_max > 0 and open >= open_max then return { 'open_holds', open } end
  redis.call('hincrby', KEYS[3], 'u:' .. person, places)
  redis.call('hincrby', KEYS[3], 'o:' .. person, 1)
end

local taken = {}
for i = 1, #ids do
  local quantity = ARGV[9 + 2 * i]
  redis.call('hincrby', KEYS[1], ids[i], '-' .. quantity)
  taken[i] = ids[i] .. ':' .. quantity
end
if gated then
  -- From here on nobody is thrown out: the pass lives as long as the hold.
  redis.call('hset', KEYS[6], sid, hard .. '|' .. hold_id)
  redis.call('zadd', KEYS[5], 'XX', math.max(score, tonumber(now_ms) + tonumber(ARGV[9])), sid)
end
-- A pass that holds for an order of this hold id already is not this take's to give back.
-- at_ms | fingerprint | person or - | places | sid or - | stock:quantity,stock:quantity
redis.call('hset', KEYS[2], hold_id, string.format('%s|%s|%s|%d|%s|%s',
  now_ms, fingerprint, counted and person or '-', places, gated and held == '-' and sid or '-', table.concat(taken, ',')))
return { 'taken', tonumber(epoch), tonumber(now_ms) }
