-- Call people: the serving ranks rise, late ones are called by name, and everybody is shown the new picture.
-- KEYS   1 room: hash  2 fence: int  3 serve: hash lane -> serving rank  4 late: zset lane:rank -> rank
--        5 called: hash lane:rank -> ms  6 snap: string                                                (same {code} tag)
-- ARGV   1 fence  2 run  3 epoch  4 now_ms  5 general serving  6 invited serving  7 snap  8.. late ones (at most 256)
-- REPLY  {"admitted", general serving, invited serving} | {"fenced"}: another leader has taken over
--        | {"other_run"}: the room has moved on | {"unready"}
-- REPEAT harmless: ranks never go back
-- BOUND  O(late ones * log late)
-- KEEPS  serving ranks never decrease
local fence = tonumber(redis.call('get', KEYS[2]) or '-1')
if fence < 0 then return { 'unready' } end
if fence ~= tonumber(ARGV[1]) then return { 'fenced' } end
local room = redis.call('hmget', KEYS[1], 'run', 'epoch')
if not room[1] then return { 'unready' } end
if room[1] ~= ARGV[2] or room[2] ~= ARGV[3] then return { 'other_run' } end
local reply = { 'admitted' }
for lane = 0, 1 do
  local serving = tonumber(redis.call('hget', KEYS[3], lane) or '-1')
  if serving < 0 then return { 'unready' } end
  local asked = tonumber(ARGV[5 + lane])
  if asked > serving then
    redis.call('hset', KEYS[3], lane, ARGV[5 + lane])
    serving = asked
  end
  reply[#reply + 1] = serving
end
for i = 8, #ARGV do
  if redis.call('zrem', KEYS[4], ARGV[i]) == 1 then redis.call('hset', KEYS[5], ARGV[i], ARGV[4]) end
end
redis.call('set', KEYS[6], ARGV[7])
return reply
