-- Forget takes that are rows in Postgres by now: their places are held there, so nothing is given back.
-- KEYS   1 flight: hash hold id -> record
-- ARGV   hold ids, at most 512
-- REPLY  {"confirmed", how many were in flight}
-- REPEAT the second call finds nothing in flight
-- BOUND  O(hold ids)
-- KEEPS  free
return { 'confirmed', redis.call('hdel', KEYS[1], unpack(ARGV)) }
