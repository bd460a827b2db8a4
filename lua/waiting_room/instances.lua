-- Which instances were heard of lately.
-- KEYS   1 instances: zset name -> when it was last heard of                                           (same {code} tag)
-- ARGV   1 not longer ago than this instant [ms]
-- REPLY  {"instances", name, ...}
-- REPEAT harmless
-- BOUND  O(instances)
-- KEEPS  everything
local names = redis.call('zrangebyscore', KEYS[1], ARGV[1], '+inf')
return { 'instances', unpack(names) }
