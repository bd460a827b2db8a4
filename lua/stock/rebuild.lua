-- Set the free places of an exhibition to what Postgres counted under a new epoch; forget every take in flight,
-- since the stock writer refuses takes of an older epoch.
-- KEYS   1 stock: hash  2 flight: hash  3 people: hash  4 room: hash                       (same {code} tag)
-- ARGV   1 epoch  2 phase of the room, which is told here only where Redis has lost it
--        3.. stock id, free, ...                                                         (at most 2,000 pairs)
-- REPLY  {"rebuilt"} | {"newer", epoch}: somebody else has rebuilt since
-- REPEAT the second call answers newer and changes nothing
-- BOUND  O(stocks of the exhibition + takes in flight + persons)
-- KEEPS  epoch only rises
local known = tonumber(redis.call('hget', KEYS[1], 'epoch') or '0')
if known >= tonumber(ARGV[1]) then return { 'newer', known } end
redis.call('unlink', KEYS[1], KEYS[2], KEYS[3])
for i = 3, #ARGV, 2 do redis.call('hset', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('hset', KEYS[1], 'epoch', ARGV[1])
redis.call('hsetnx', KEYS[4], 'phase', ARGV[2])
return { 'rebuilt' }
