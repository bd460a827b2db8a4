-- Apply what a commit in Postgres changed for free places and persons: expiry, cancellation, refund, payment, and what
-- admins put on offer or took off.
-- KEYS   1 stock: hash  2 people: hash                                                     (same {code} tag)
-- ARGV   1 epoch of the commit  2 pairs of stock  3.. stock id, places more free (below 0: fewer), ...
--        then triples: person, change of places, change of open holds      (at most 512 pairs and 512 triples)
-- REPLY  {"released"} | {"other_epoch", epoch}: a rebuild has counted or will count this commit | {"unready"}
-- REPEAT not repeatable: called once after its commit; what a lost call leaves behind the audit finds
-- BOUND  O(pairs + triples)
-- KEEPS  free + in flight = free in Postgres. Free is below 0 where more is in flight than is still on offer, until the
--        stock writer has refused those takes and they were given back; nothing is taken meanwhile
local epoch = redis.call('hget', KEYS[1], 'epoch')
if not epoch then return { 'unready' } end
if epoch ~= ARGV[1] then return { 'other_epoch', tonumber(epoch) } end
local last = 2 + 2 * tonumber(ARGV[2])
for i = 3, last, 2 do
  if redis.call('hexists', KEYS[1], ARGV[i]) == 0 then return { 'unready' } end
end
for i = 3, last, 2 do redis.call('hincrby', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV, 3 do
  local person = ARGV[i]
  if redis.call('hincrby', KEYS[2], 'u:' .. person, ARGV[i + 1]) <= 0 then redis.call('hdel', KEYS[2], 'u:' .. person) end
  if redis.call('hincrby', KEYS[2], 'o:' .. person, ARGV[i + 2]) <= 0 then redis.call('hdel', KEYS[2], 'o:' .. person) end
end
return { 'released' }
