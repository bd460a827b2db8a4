-- Count one event against a rate (GCRA: a leaky bucket kept as one instant).
-- KEYS   1 bucket: string, the instant in ms at which the bucket is empty again
-- ARGV   1 now_ms  2 interval_ms between events  3 burst events
-- REPLY  {"ok"} | {"wait", ms until one more event fits}
-- REPEAT counts again: an event is cheap to lose or to count twice
-- BOUND  O(1); the key expires when the bucket is empty
-- KEEPS  at most burst + elapsed / interval events pass
local now_ms, interval_ms, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local empty_at = tonumber(redis.call('get', KEYS[1]) or now_ms)
if empty_at < now_ms then empty_at = now_ms end
local next_at = empty_at + interval_ms
local wait_ms = next_at - now_ms - burst * interval_ms
if wait_ms > 0 then return { 'wait', wait_ms } end
redis.call('set', KEYS[1], next_at, 'px', math.max(1, next_at - now_ms))
return { 'ok' }
