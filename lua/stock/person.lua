-- Set what Redis believes of one person to what Postgres knows: its own count may only ever be a little too high.
-- KEYS   1 stock: hash  2 people: hash                                                     (same {code} tag)
-- ARGV   1 person  2 places  3 open holds
-- REPLY  {"set"} | {"unready"}
-- REPEAT the same answer; takes of this person in flight are not counted until Postgres judges them
-- BOUND  O(1)
-- KEEPS  free; Postgres keeps the limit
if redis.call('hexists', KEYS[1], 'epoch') == 0 then return { 'unready' } end
redis.call('hset', KEYS[2], 'u:' .. ARGV[1], ARGV[2], 'o:' .. ARGV[1], ARGV[3])
return { 'set' }
