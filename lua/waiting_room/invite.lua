-- One invitation opens the lane of the invited to one device.
-- KEYS   1 the invitation: string                                                                     (same {code} tag)
-- ARGV   1 device  2 how long it is remembered [s]
-- REPLY  {"yours"} | {"used"}: another device came with it first
-- REPEAT the same device: yours again
-- BOUND  O(1)
-- KEEPS  the first device
local first = redis.call('get', KEYS[1])
if first then return { first == ARGV[1] and 'yours' or 'used' } end
redis.call('set', KEYS[1], ARGV[1], 'EX', ARGV[2])
return { 'yours' }
