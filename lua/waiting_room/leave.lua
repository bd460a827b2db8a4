-- Somebody goes on purpose: out of the room, or out of the lane of the late. The place in line stays theirs.
-- KEYS   1 act: zset sid -> expiry ms  2 pass: hash sid -> 'hard_ms|hold id or -'  3 late: zset lane:rank -> rank
--        4 called: hash lane:rank -> ms                                                                (same {code} tag)
-- ARGV   1 sid or ''  2 lane:rank or ''
-- REPLY  {"left", 1 if room was made else 0} | {"paying"}: the pass holds places of an unpaid order
-- REPEAT harmless
-- BOUND  O(log act + log late)
-- KEEPS  places that are held
if ARGV[2] ~= '' then
  redis.call('zrem', KEYS[3], ARGV[2])
  redis.call('hdel', KEYS[4], ARGV[2])
end
if ARGV[1] == '' then return { 'left', 0 } end
local hold = string.match(redis.call('hget', KEYS[2], ARGV[1]) or '', '^%d+|(.*)$')
if hold and hold ~= '-' then return { 'paying' } end
redis.call('hdel', KEYS[2], ARGV[1])
return { 'left', redis.call('zrem', KEYS[1], ARGV[1]) }
