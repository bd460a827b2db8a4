-- Lease a block of device indexes to an instance.
-- KEYS   1 room: hash  2 devices of this run and epoch: int                                           (same {code} tag)
-- ARGV   1 run  2 epoch  3 how many
-- REPLY  {"leased", first index} | {"other_epoch"} | {"unready"}
-- REPEAT leases another block; indexes nobody uses cost four bytes each
-- BOUND  O(1)
-- KEEPS  no index is leased twice within an epoch
local room = redis.call('hmget', KEYS[1], 'run', 'epoch')
if not room[1] then return { 'unready' } end
if room[1] ~= ARGV[1] or room[2] ~= ARGV[2] then return { 'other_epoch' } end
return { 'leased', redis.call('incrby', KEYS[2], ARGV[3]) - tonumber(ARGV[3]) }
