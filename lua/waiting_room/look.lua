-- Become or stay the leader of a room, and see how it stands.
-- KEYS   1 room: hash  2 lead: string with an expiry  3 fence: int  4 seq general  5 seq invited  6 serve: hash
--        7 act: zset sid -> expiry ms  8 pass: hash  9 late: zset lane:rank -> rank  10 called: hash lane:rank -> ms
--        11 claimed general: bitmap  12 claimed invited: bitmap                                        (same {code} tag)
-- ARGV   1 leader's name  2 lease ms  3 now_ms  4 first byte and 5 last byte of the general bitmap to be shown
--        6 first byte and 7 last byte of the invited one  8 called longer ago than this [ms] are late again
-- REPLY  {"leading", fence, run, epoch, revision, seq general, seq invited, serving general, serving invited, active,
--        late waiting, claimed bytes general, claimed bytes invited, {the first 256 late}, {called late, when, ...},
--        passes put back in this epoch}
--        | {"following"} | {"unready"}
-- REPEAT harmless
-- BOUND  O(passes that have ended since, at most 1,000 + bytes shown + 256 + called late)
-- KEEPS  one leader at a time; each has a higher fence than the one before
local holder = redis.call('get', KEYS[2])
if holder and holder ~= ARGV[1] then return { 'following' } end
local room = redis.call('hmget', KEYS[1], 'run', 'epoch', 'revision', 'restored')
local seq = { redis.call('get', KEYS[4]), redis.call('get', KEYS[5]) }
local serve = redis.call('hmget', KEYS[6], '0', '1')
redis.call('set', KEYS[2], ARGV[1], 'PX', ARGV[2])
-- A fence that is lost is made anew, or whoever holds the lease could never write again.
local fence = tonumber(holder and redis.call('get', KEYS[3]) or redis.call('incr', KEYS[3]))
if not room[1] or not seq[1] or not seq[2] or not serve[1] or not serve[2] then return { 'unready' } end

local now = tonumber(ARGV[3])
for _, sid in ipairs(redis.call('zrangebyscore', KEYS[7], '-inf', ARGV[3], 'LIMIT', 0, 1000)) do
  redis.call('zrem', KEYS[7], sid)
  redis.call('hdel', KEYS[8], sid)
end
local called = redis.call('hgetall', KEYS[10])
local kept = {}
for i = 1, #called, 2 do
  if now - tonumber(called[i + 1]) > tonumber(ARGV[8]) then
    redis.call('hdel', KEYS[10], called[i])
  else
    kept[#kept + 1] = called[i]
    kept[#kept + 1] = tonumber(called[i + 1])
  end
end
return { 'leading', fence, tonumber(room[1]), tonumber(room[2]), tonumber(room[3]), tonumber(seq[1]), tonumber(seq[2]),
  tonumber(serve[1]), tonumber(serve[2]), redis.call('zcard', KEYS[7]), redis.call('zcard', KEYS[9]),
  redis.call('getrange', KEYS[11], ARGV[4], ARGV[5]), redis.call('getrange', KEYS[12], ARGV[6], ARGV[7]),
  redis.call('zrange', KEYS[9], 0, 255), kept, tonumber(room[4] or '0') }
