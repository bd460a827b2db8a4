-- An instance says whom it has seen and how it is doing.
-- KEYS   1 instances: zset name -> when it was last heard of  2 stats: string  3.. live: bitmaps of slots (same {code} tag)
-- ARGV   1 now_ms  2 instance  3 stats  4.. one bitmap per live key                                    (at most 16)
-- REPLY  {"flushed"}
-- REPEAT harmless
-- BOUND  O(bytes)
-- KEEPS  nothing: what is lost here is seen again within a slot
redis.call('zadd', KEYS[1], ARGV[1], ARGV[2])
redis.call('zremrangebyscore', KEYS[1], '-inf', tonumber(ARGV[1]) - 120000)
redis.call('set', KEYS[2], ARGV[3], 'EX', 15)
for i = 3, #KEYS do redis.call('set', KEYS[i], ARGV[i + 1], 'EX', 120) end
return { 'flushed' }
